#include "profiling/exits_text.h"

#include <rtmdl/error.h>

#include <nlohmann/json.hpp>

namespace rtmdl {

std::string exits_text(const EarlyExits& exits) {
  if (exits.none()) return {};
  nlohmann::json json{{"whole", exits.whole_accuracy}, {"units", exits.units}, {"at", nlohmann::json::array()}};
  for (const EarlyExit& exit : exits.at)
    json["at"].push_back({{"output", exit.rule.output},
                          {"measure", sure_measure_name(exit.rule.measure)},
                          {"threshold", exit.rule.threshold},
                          {"probabilities", exit.rule.probabilities},
                          {"cut", exit.cut},
                          {"leaves", exit.leaves},
                          {"accuracy", exit.accuracy}});
  return json.dump();
}

EarlyExits parse_exits(const std::string& text) {
  EarlyExits exits;
  if (text.empty()) return exits;
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    json.at("whole").get_to(exits.whole_accuracy);
    json.at("units").get_to(exits.units);
    for (const auto& from : json.at("at")) {
      EarlyExit& exit = exits.at.emplace_back();
      from.at("output").get_to(exit.rule.output);
      exit.rule.measure = sure_measure(from.at("measure").get<std::string>()).value();
      from.at("threshold").get_to(exit.rule.threshold);
      from.at("probabilities").get_to(exit.rule.probabilities);
      from.at("cut").get_to(exit.cut);
      from.at("leaves").get_to(exit.leaves);
      from.at("accuracy").get_to(exit.accuracy);
    }
  } catch (const std::exception&) {  // of the parser, and of a measure that is none
    bad_input("what the workspace holds of early exits is damaged; delete the workspace to make them again");
  }
  return exits;
}

}  // namespace rtmdl
