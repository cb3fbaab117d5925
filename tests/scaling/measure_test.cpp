/// Bounds on how many models are loaded at a time and how many in all, and stopping between runs.

#include "scaling/measure.h"
#include "architectures.h"
#include "run_model.h"
#include "scaling/int8_search.h"
#include "scaling/prepare.h"

#include "../model/models.h"

namespace rtmdl {
namespace {

/// Counts, and sets a flag at a run.
class CountingEngine : public Engine {
 public:
  struct Counts {
    int loaded = 0, most = 0, loads = 0, runs = 0;
    int stop_at_run = -1;
    std::atomic<bool> stop = false;
  };
  explicit CountingEngine(Counts& counts) : counts_(counts) {}
  std::unique_ptr<Executable> load(const LoadRequest& request) override {
    return std::make_unique<Counted>(test::engine().load(request), counts_);
  }
  std::string version() const override { return test::engine().version(); }
  std::vector<std::string> devices() const override { return test::engine().devices(); }

 private:
  class Counted : public Executable {
   public:
    Counted(std::unique_ptr<Executable> inner, Counts& counts) : inner_(std::move(inner)), counts_(counts) {
      ++counts_.loads;
      counts_.most = std::max(counts_.most, ++counts_.loaded);
    }
    ~Counted() override { --counts_.loaded; }
    std::span<const TensorSpec> inputs() const noexcept override { return inner_->inputs(); }
    std::span<const TensorSpec> outputs() const noexcept override { return inner_->outputs(); }
    TensorView input(std::size_t i) noexcept override { return inner_->input(i); }
    TensorView output(std::size_t i) noexcept override { return inner_->output(i); }
    bool run() noexcept override {
      if (++counts_.runs == counts_.stop_at_run) counts_.stop = true;
      return inner_->run();
    }
    void cancel() noexcept override { inner_->cancel(); }
    void rearm() noexcept override { inner_->rearm(); }
    void reset_state() noexcept override { inner_->reset_state(); }
    const char* last_error() const noexcept override { return inner_->last_error(); }
    std::filesystem::path finish_profile() override { return inner_->finish_profile(); }

   private:
    std::unique_ptr<Executable> inner_;
    Counts& counts_;
  };
  Counts& counts_;
};

struct Measured {
  test::Folder folder;
  CountingEngine::Counts counts;
  CountingEngine engine{counts};
  std::vector<LoadRequest> requests;

  Measured() {
    for (std::uint32_t seed = 1; seed <= 5; ++seed) {
      test::ModelMaker m(17, seed);
      m.output(m.conv(m.input("x", {1, 4, 16, 16}), 4, 8, 3));
      requests.push_back(test::at(folder.save(m.model(), std::to_string(seed) + ".onnx")));
    }
  }
};

TEST(MeasureTimes, KeepsAllLoadedWhereTheyFit) {
  Measured m;
  const auto times = measure_times(m.engine, m.requests, {}, {.rounds_min = 4, .rounds_max = 4});
  EXPECT_EQ(m.counts.most, 5);
  for (const auto& list : times) EXPECT_EQ(list.size(), 4U);
}

TEST(MeasureTimes, LoadsFewerAtATimeWhereTheyDoNotAndTheFirstBesideEach) {
  Measured m;
  const auto times = measure_times(m.engine, m.requests, {}, {.rounds_min = 4, .rounds_max = 4, .memory = 1});
  EXPECT_EQ(m.counts.most, 2);
  EXPECT_EQ(m.counts.loads, 5);
  EXPECT_EQ(times[0].size(), 16U);
  for (std::size_t i = 1; i < times.size(); ++i) {
    EXPECT_EQ(times[i].size(), 4U);
    EXPECT_GT(quantile(times[i], 0.2), Duration(0));
  }
  EXPECT_EQ(m.counts.loaded, 0);
}

TEST(MeasureTimes, EndsBetweenTwoRunsWhenItMayNotGoOn) {
  Measured m;
  m.counts.stop_at_run = 20;
  Context context;
  context.stop = &m.counts.stop;
  (void)measure_times(m.engine, m.requests, {}, {.rounds_min = 50, .rounds_max = 50}, context);
  EXPECT_LE(m.counts.runs, 25);
}

TEST(FindCandidates, LoadsABoundedNumberOfModelsAndSaysHowMany) {
  const test::Folder folder;
  CountingEngine::Counts counts;
  CountingEngine engine(counts);
  const auto at = test::at(folder.save(test::architecture("unet"), "source.onnx"));
  const Prepared prepared = prepare(engine, load_model(at.model), at, folder.path());
  std::vector<InputSet> sets;
  {
    const auto executable = engine.load(at);
    for (std::uint32_t seed = 1; seed <= 2; ++seed) sets.push_back(test::random_inputs(*executable, seed, -1, 1));
  }
  std::string log;
  Context context;
  context.log = [&log](LogLevel, const std::string& message) { log += message + '\n'; };
  const Int8Builder builder(engine, prepared.model, at, sets, folder.path(), context);
  const OutputError error = builder.judge({sets.begin(), sets.begin() + 1});
  counts.loads = 0;
  counts.most = 0;
  const auto found = find_candidates(engine, builder, at, sets[0], error, folder.path(), context);
  EXPECT_FALSE(found.empty());
  EXPECT_LE(counts.loads, 80);
  EXPECT_EQ(counts.most, 1);
  EXPECT_NE(log.find("the search loaded " + std::to_string(counts.loads) + " models"), std::string::npos) << log;

  counts.stop_at_run = counts.runs + 30;
  context.stop = &counts.stop;
  const int before = counts.runs;
  (void)find_candidates(engine, builder, at, sets[0], error, folder.path(), context);
  EXPECT_LE(counts.runs - before, 32);
}

}  // namespace
}  // namespace rtmdl
