#include "report/json.h"

#include "report/describe.h"
#include "report/sample.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <functional>
#include <limits>

namespace rtmdl {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// "{name:string,period:number}": what design.md promises, with types. An array shows its first element.
std::string shape(const OrderedJson& json) {
  if (json.is_object()) {
    std::string text;
    for (const auto& [key, value] : json.items()) text += (text.empty() ? "" : ",") + key + ":" + shape(value);
    return "{" + text + "}";
  }
  if (json.is_array()) return json.empty() ? "[]" : "[" + shape(json.front()) + "]";
  if (json.is_number_integer()) return "int";
  if (json.is_number()) return "real";
  return json.type_name();
}

const std::string kRunShape =
    "{policy:string,seconds:real,released:int,missed:int,miss_rate:real,accuracy_loss:real,preemption:string,"
    "machine_stalls:{count:int,max_ms:real,missed:int},"
    "tasks:[{name:string,variant:string,priority:int,released:int,completed:int,missed:int,dropped:int,failed:int,"
    "abandoned:int,missed_in_stalls:int,miss_"
    "rate:real,accuracy:real,"
    "effective_accuracy:real,accuracy_loss:real,switches:int,throttled:int,response_ms:{p50:real,p99:real,max:real}}],"
    "processors:[{name:string,busy:real}],notes:[]}";

RunReport report() { return sample::outcome("rtmdl", sample::edge_box(0.5, "int8", 0.01), 2, 1).report; }

TEST(OrderedJson, of_a_run_has_the_promised_fields) {
  EXPECT_EQ(shape(OrderedJson::parse(run_json(report()))), kRunShape);
}

TEST(OrderedJson, of_a_run_carries_its_values) {
  RunReport r = report();
  r.tasks[1].response = {1.23456789, 2.5, 1e-9};
  r.tasks[1].missed = 1234567890123;
  const OrderedJson json = OrderedJson::parse(run_json(r));
  EXPECT_EQ(json["policy"], "rtmdl");
  EXPECT_EQ(json["tasks"][1]["name"], "faces");
  EXPECT_EQ(json["tasks"][1]["response_ms"]["p50"].get<double>(), 1.23457);
  EXPECT_EQ(json["tasks"][1]["response_ms"]["max"].get<double>(), 1e-9);
  EXPECT_EQ(json["tasks"][1]["missed"], 1234567890123);
  EXPECT_EQ(json["machine_stalls"]["max_ms"], 12.5);
}

TEST(OrderedJson, of_a_real_run_says_what_its_trace_cost) {
  RunReport r = report();
  EXPECT_FALSE(OrderedJson::parse(run_json(r)).contains("trace"));
  r.trace = {100, 3, 7.5};
  EXPECT_EQ(OrderedJson::parse(run_json(r))["trace"].dump(), R"({"records":100,"lost":3,"collector_cpu_ms":7.5})");
}

TEST(OrderedJson, of_a_run_says_what_it_drew_where_that_is_known) {
  RunReport r = report();
  EXPECT_FALSE(OrderedJson::parse(run_json(r)).contains("energy"));
  r.tasks[0].joules = 12.5;
  r.energy = {.meter = "constant", .joules = 60, .watts = 2, .limit = 2.5, .harvest = HarvestReport{0.5, 70, 5, 1.5}};
  const OrderedJson json = OrderedJson::parse(run_json(r));
  EXPECT_EQ(json["tasks"][0]["joules"], 12.5);
  EXPECT_EQ(json["energy"].dump(),
            R"({"meter":"constant","joules":60.0,"watts":2.0,"limit":2.5,"harvest":{"eta":0.5,"harvested_joules":70.0,)"
            R"("left_joules":5.0,"off_seconds":1.5}})");
}

TEST(OrderedJson, of_a_plan_has_its_energy_where_the_power_is_known) {
  PlanProblem problem = sample::problem();
  Plan plan = sample::plan(problem);
  for (PlanProcessor& p : problem.processors) p.power = {4, 1};
  problem.tasks[0].options[static_cast<std::size_t>(plan.tasks[0].choice.option)].joules = 0.25;
  plan.watts = 3.5;
  const OrderedJson json = OrderedJson::parse(plan_json(plan, problem));
  EXPECT_EQ(json["energy"].dump(), R"({"watts":3.5,"limit":null})");
  EXPECT_EQ(json["tasks"][0]["joules"], 0.25);
}

TEST(OrderedJson, of_compare_is_a_run_per_policy) {
  EXPECT_EQ(shape(OrderedJson::parse(compare_json("edge-box", 1.0, {report(), report()}))),
            "{workload:string,source_load:real,policies:[" + kRunShape + "]}");
  EXPECT_EQ(OrderedJson::parse(compare_json("", 0, {}))["policies"], OrderedJson::array());
}

TEST(OrderedJson, of_a_plan_has_the_promised_fields) {
  const PlanProblem problem = sample::problem();
  Plan plan = sample::plan(problem);
  plan.tasks[0].response_bound = from_ms(12.5);
  const OrderedJson json = OrderedJson::parse(plan_json(plan, problem));
  EXPECT_EQ(
      shape(json),
      "{feasible:boolean,reason:string,objective:{accuracy_loss:real,miss_rate:real},storage:{bytes:int,limit:int},"
      "search:{method:string,space:real,evaluated:int,seconds:real,proven_optimal:boolean,model:string,"
      "loss_bound:real},tasks:[{name:string,variant:string,priority:int,processor:string,segments:int,slots:int,"
      "threads:int,"
      "accuracy:real,"
      "accuracy_loss:real,miss_rate:real,expected_miss_rate:real,expected_miss_rate_95:real,"
      "miss_rate_limit:real,utilisation:{cpu:real,gpu:real},response_bound_ms:real}],pareto:[{accuracy_loss:real,miss_"
      "rate:real,feasible:boolean,chosen:boolean,variants:{speech:string,faces:string,lines:string,text:string,"
      "classes:string}}],relaxations:[]}");
  EXPECT_EQ(json["tasks"][0]["response_bound_ms"], 12.5);
  EXPECT_TRUE(json["tasks"][1]["response_bound_ms"].is_null());
  EXPECT_EQ(json["tasks"][1]["variant"], "int8");
  EXPECT_EQ(json["tasks"][1]["segments"], 1);
  EXPECT_EQ(json["tasks"][1]["utilisation"]["gpu"], 0.11);
}

TEST(OrderedJson, of_a_plan_says_where_the_parts_of_a_split_model_run) {
  PlanProblem problem = sample::problem();
  const Plan plan = sample::plan(problem);
  TaskOption& option = problem.tasks[0].options[static_cast<std::size_t>(plan.tasks[0].choice.option)];
  ASSERT_EQ(option.stages.size(), 3U);
  option.cuts = {57};
  option.processor = "cpu+gpu@57";
  option.stages = {option.stages[0], option.stages[1], option.stages[1], option.stages[2]};
  option.stages[1] = {.processor = 0, .times = {{from_ms(3)}}};
  option.stages[2] = {.processor = 1, .times = {{from_ms(4)}}};
  const OrderedJson task = OrderedJson::parse(plan_json(plan, problem))["tasks"][0];
  EXPECT_EQ(task["processor"], "cpu+gpu@57");
  EXPECT_EQ(task["segments"], 2);
  EXPECT_EQ(task["parts"].dump(), R"([{"processor":"cpu","ms":3.0},{"processor":"gpu","ms":4.0}])");
}

TEST(OrderedJson, of_a_plan_says_what_each_point_of_the_front_is) {
  const PlanProblem problem = sample::problem();
  Plan plan = sample::plan(problem);
  plan.relaxations = {{"deadline", "faces", "20 ms", "27 ms", 0.35, "faces: deadline 27 ms instead of 20 ms"}};
  const OrderedJson json = OrderedJson::parse(plan_json(plan, problem));
  EXPECT_FALSE(json["pareto"][0]["feasible"]);
  EXPECT_TRUE(json["pareto"][2]["chosen"]);
  EXPECT_EQ(json["pareto"][0]["variants"]["faces"], "source");
  EXPECT_EQ(json["pareto"][2]["variants"]["faces"], "int8");
  EXPECT_EQ(json["relaxations"],
            OrderedJson::parse(R"([{"what": "deadline", "task": "faces", "from": "20 ms", "to": "27 ms",
                                                  "text": "faces: deadline 27 ms instead of 20 ms"}])"));
}

TEST(OrderedJson, of_a_plan_without_limit_or_tasks_says_null_and_nothing) {
  PlanProblem problem = sample::problem();
  problem.storage.reset();
  const OrderedJson json = OrderedJson::parse(plan_json({}, problem));
  EXPECT_TRUE(json["storage"]["limit"].is_null());
  EXPECT_EQ(json["tasks"], OrderedJson::array());
}

TEST(OrderedJson, of_scale_has_the_promised_fields) {
  TaskVariants task;
  task.task = "faces";
  Variant v;
  v.id = "int8";
  v.path = "/w/variants/ab.onnx";
  task.variants = {v};
  ScaleReport report;
  report.tasks = {{task}};
  report.bytes = 1000;
  const OrderedJson json = OrderedJson::parse(scale_json(report));
  EXPECT_EQ(shape(json),
            "{storage:{bytes:int,limit:null},tasks:[{name:string,synthetic:boolean,variants:[{id:string,width:real,"
            "depth:real,resolution:"
            "real,precision:string,bytes:int,"
            "shared_bytes:int,accuracy:real,accuracy_loss:real,path:string,median_ms:real,note:string}],refused:[],"
            "dropped:[],reused:boolean,"
            "finished:boolean}]}");
  EXPECT_EQ(json["tasks"][0]["variants"][0]["path"], "/w/variants/ab.onnx");
  report.limit = 60'000'000;
  EXPECT_EQ(OrderedJson::parse(scale_json(report))["storage"]["limit"], 60'000'000);
}

TEST(OrderedJson, of_scale_says_who_leaves_early) {
  TaskVariants task;
  task.variants.resize(1);
  task.variants[0].exits.at = {{{"exit_1", SureMeasure::entropy, 0.625, false}, 7, 0.5, 0.75}};
  task.variants[0].exits.whole_accuracy = 0.875;
  ScaleReport report;
  report.tasks = {{task}};
  const OrderedJson json = OrderedJson::parse(scale_json(report))["tasks"][0]["variants"][0];
  EXPECT_EQ(json["exits"].dump(),
            R"([{"output":"exit_1","measure":"entropy","threshold":0.625,"leaves":0.5,"accuracy":0.75}])");
  EXPECT_EQ(json["whole_accuracy"], 0.875);
}

TEST(OrderedJson, of_scale_says_which_families_rest_on_data_that_we_drew) {
  ScaleReport report;
  report.tasks.resize(2);
  report.tasks[1].synthetic = true;
  const OrderedJson json = OrderedJson::parse(scale_json(report));
  EXPECT_EQ(json["tasks"][0]["synthetic"], false);
  EXPECT_EQ(json["tasks"][1]["synthetic"], true);
}

TEST(OrderedJson, of_a_profile_has_the_promised_fields) {
  VariantProfile v;
  v.id = "int8";
  v.processor = "cpu";
  for (int i = 1; i <= 100; ++i) v.infer.busy.push_back(from_ms(i));
  v.infer.alone = {from_ms(0.5)};
  v.slow_downs = {{"text", "source", "gpu", 1.5}};
  const OrderedJson json = OrderedJson::parse(profile_json({{"faces", {v}}}));
  const std::string times = "{min:real,p50:real,p99:real,max:real}";
  EXPECT_EQ(shape(json), "{tasks:[{name:string,variants:[{id:string,processor:string,threads:int,segments:int,ms:" +
                             times + ",samples:int,alone_ms:" + times + ",pre_ms:" + times + ",post_ms:" + times +
                             ",interference:real,demand:real,representative:string,slow_downs:[{task:string,"
                             "variant:string,processor:string,factor:real}],stalls:{count:int,of:int,max_ms:real},"
                             "accuracy:real,accuracy_loss:"
                             "real,bytes:int,memory_bytes:int,"
                             "reused:boolean}]}]}");
  const OrderedJson& variant = json["tasks"][0]["variants"][0];
  EXPECT_EQ(variant["ms"], OrderedJson::parse(R"({"min":1.0,"p50":50.0,"p99":99.0,"max":100.0})"));
  EXPECT_EQ(variant["samples"], 100);
  EXPECT_EQ(variant["alone_ms"]["max"], 0.5);
}

TEST(OrderedJson, of_a_profile_says_what_a_job_takes_and_where_that_is_from) {
  VariantProfile v;
  v.joules = 0.25;
  v.metered = true;
  VariantProfile other = v;
  other.metered = false;
  const OrderedJson json = OrderedJson::parse(profile_json({{"clothes", {v, other}}}))["tasks"][0]["variants"];
  EXPECT_EQ(json[0]["energy"], OrderedJson::parse(R"({"joules":0.25,"from":"measured"})"));
  EXPECT_EQ(json[1]["energy"]["from"], "model");
}

TEST(OrderedJson, of_a_profile_has_units_of_early_exits) {
  VariantProfile v;
  v.cuts = {7};
  for (const double ms : {4.0, 2.0}) v.segment_times.emplace_back().busy = {from_ms(ms)};
  v.exits.at = {{{}, 7, 0.75, 0.8}};
  const OrderedJson json = OrderedJson::parse(profile_json({{"clothes", {v}}}))["tasks"][0]["variants"][0];
  EXPECT_EQ(json["mean_ms"], 4.5);
  EXPECT_EQ(json["units"][0]["run_by"], 1.0);
  EXPECT_EQ(json["units"][1]["run_by"], 0.25);
  EXPECT_EQ(json["units"][1]["ms"]["p50"], 2.0);
}

TEST(OrderedJson, never_holds_what_is_not_a_number) {
  RunReport r = report();
  r.miss_rate = kNaN;
  r.seconds = kInfinity;
  r.tasks[0].response = {kNaN, -kInfinity, -0.0};
  const std::string text = run_json(r);
  const OrderedJson json = OrderedJson::parse(text);
  EXPECT_TRUE(json["miss_rate"].is_null());
  EXPECT_TRUE(json["seconds"].is_null());
  EXPECT_EQ(json["tasks"][0]["response_ms"].dump(), R"({"p50":null,"p99":null,"max":0.0})");
  EXPECT_EQ(text.find("nan"), std::string::npos);
  EXPECT_EQ(text.find("inf"), std::string::npos);
}

TEST(OrderedJson, repairs_text_that_is_not_utf8) {
  RunReport r = report();
  r.tasks[0].name = "caf\xe9 \"x\"\n";
  EXPECT_EQ(OrderedJson::parse(run_json(r))["tasks"][0]["name"], "caf\uFFFD \"x\"\n");
}

TEST(RunJson, ListsWhatWasAskedForWhileItRan) {
  RunReport r = report();
  EXPECT_FALSE(OrderedJson::parse(run_json(r)).contains("changes"));
  r.changes = {{"faces.join", 10, "lighter", "", {{"signs", "source", "int8", 0.012}}, 10.25, true, 3},
               {"text.join", 20, "refused", "with text, no strategy keeps every limit", {}, {}, false, 0}};
  const OrderedJson changes = OrderedJson::parse(run_json(r))["changes"];
  EXPECT_EQ(changes[0]["answer"], "lighter");
  EXPECT_EQ(changes[0]["variants"][0]["to"], "int8");
  EXPECT_EQ(changes[0]["effective_s"], 10.25);
  EXPECT_TRUE(changes[1]["effective_s"].is_null());
  EXPECT_EQ(change_text(r.changes[0]),
            "at 10 s faces.join: admitted with lighter variants (signs: int8 instead of source, loss +1.2 %), since "
            "10.250 s, between jobs, 3 releases were held back for it");
  EXPECT_EQ(change_text(r.changes[1]), "at 20 s text.join: refused: with text, no strategy keeps every limit");
}

}  // namespace
}  // namespace rtmdl
