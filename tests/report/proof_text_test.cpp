#include "report/proof_text.h"

#include "report/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

Proof sample_proof() {
  Proof p;
  p.task = "faces";
  p.variant = "int8";
  p.priority = 2;
  p.hard = true;
  p.period = 40ms;
  p.deadline = 20ms;
  p.method = BoundDetail::Method::last_segment;
  p.bound = 14ms;
  p.assumption = "no stage takes longer than its longest measured time + 20 %";
  p.terms = {{.kind = ProofTerm::Kind::jitter, .task = "faces", .each = 1ms, .total = 1ms},
             {.kind = ProofTerm::Kind::own,
              .processor = "gpu",
              .first_stage = 1,
              .stages = 2,
              .task = "faces",
              .each = 5ms,
              .total = 5ms},
             {.kind = ProofTerm::Kind::blocking,
              .processor = "gpu",
              .first_stage = 1,
              .stages = 2,
              .task = "signs",
              .each = 4ms,
              .total = 4ms},
             {.kind = ProofTerm::Kind::interference,
              .processor = "gpu",
              .first_stage = 1,
              .stages = 2,
              .task = "words",
              .its_first_stage = 0,
              .its_stages = 1,
              .count = 2,
              .each = 2ms,
              .total = 4ms}};
  p.growth = 1.4567;
  p.larger = {{.variant = "source",
               .processor = "gpu",
               .threads = 1,
               .accuracy = 0.99,
               .accuracy_loss = 0,
               .bound = 19ms,
               .proven = true,
               .breaks = {"signs"}}};
  return p;
}

TEST(ProofText, TellsTheStoryThenTheTermsThenWhatMoreAccuracyNeeds) {
  const std::string text = explain(sample_proof());
  EXPECT_THAT(text, StartsWith("In the worst case its input comes 1 ms late, it waits 4 ms for work of signs that has "
                               "begun and cannot be stopped, 4 ms of more urgent work goes first (words) and its own "
                               "work takes 5 ms: faces is done 14 ms after its input is due. That is 6 ms before its "
                               "deadline of 20 ms: no job can be late, as long as the assumption below holds. It is "
                               "hard, and this is its proof.\n"
                               "Assumed: no stage takes longer than its longest measured time + 20 %.\n"));
  EXPECT_THAT(text, HasSubstr("gpu, stages 2-3"));
  EXPECT_THAT(text, HasSubstr("more urgent: words, stage 1"));
  EXPECT_THAT(text, HasSubstr("Its execution times may be 1.45 times as long before a proof breaks."));
  EXPECT_THAT(text, HasSubstr("proven, and break the proof of signs"));
}

TEST(ProofText, OfASoftTaskIsInformation) {
  Proof p = sample_proof();
  p.hard = false;
  p.miss_rate_limit = 0.01;
  p.predicted_miss_rate = 0.004;
  p.growth.reset();
  p.deadline = 10ms;
  p.larger.clear();
  const std::string text = explain(p);
  EXPECT_THAT(text, HasSubstr("That is 4 ms after its deadline of 10 ms: in the worst case it is late"));
  EXPECT_THAT(text, HasSubstr("It is not hard: 1.0 % of its deadlines may be missed, 0.4 % are predicted"));
  EXPECT_THAT(text, Not(HasSubstr("there is no proof")));
  EXPECT_THAT(text, HasSubstr("No variant of it is more accurate"));
}

TEST(ProofText, WithoutABoundSaysWhy) {
  Proof p = sample_proof();
  p.bound.reset();
  p.terms.clear();
  p.method = BoundDetail::Method::none;
  p.growth = 0.801;
  p.trouble = "faces and what is more urgent (words) may ask for 105 % of gpu";
  const std::string text = explain(p);
  EXPECT_THAT(text, StartsWith("How late faces can be is not known: faces and what is more urgent (words) may ask for "
                               "105 % of gpu."));
  EXPECT_THAT(text, HasSubstr("there is no proof"));
  EXPECT_THAT(text, HasSubstr("would have to be at most 80.1 % of what is assumed"));
}

TEST(ProofText, JsonHasTheSame) {
  const Json json = Json::parse(proof_json(sample_proof()));
  EXPECT_EQ(json["bound_ms"], 14);
  EXPECT_EQ(json["slack_ms"], 6);
  EXPECT_EQ(json["proven"], true);
  EXPECT_EQ(json["method"], "last_segment");
  EXPECT_EQ(json["terms"].size(), 4U);
  EXPECT_EQ(json["terms"][3]["task"], "words");
  EXPECT_EQ(json["terms"][3]["count"], 2);
  EXPECT_TRUE(json["terms"][0]["processor"].is_null());
  EXPECT_EQ(json["more_accurate"][0]["breaks"][0], "signs");
  const Proof proof = sample_proof();
  EXPECT_EQ(Json::parse(plan_json({}, {}, &proof))["proof"], json);
  EXPECT_FALSE(Json::parse(plan_json({}, {})).contains("proof"));
}

}  // namespace
}  // namespace rtmdl
