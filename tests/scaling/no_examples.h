#pragma once
/// Training data of which there is none, for tests whose tuner does not learn.

#include "scaling/fine_tuner.h"

#include <string>

namespace rtmdl::test {

class NoExamples : public TrainingData {
 public:
  std::size_t size() const override { return 0; }
  Example at(std::size_t) override { return {}; }
  bool labelled() const override { return false; }
  std::string fingerprint() const override { return "none"; }
};

}  // namespace rtmdl::test
