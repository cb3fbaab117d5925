#pragma once
/// Writes an ONNX graph layer by layer, with initial weights; knows channels and sizes as it goes.

#include "model/model.h"
#include "model/tensor_data.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace rtmdl::networks {

/// A tensor [N, channels, rows, columns], or [N, channels] with rows = columns = 0.
struct Map {
  std::string name;
  int channels = 0;
  int rows = 0;
  int columns = 0;
  [[nodiscard]] int features() const { return rows == 0 ? channels : channels * rows * columns; }
};

enum class Activation { none, relu, relu6, leaky_relu };  // leaky: slope 0.1, as Darknet has it

struct ConvSpec {
  int out = 0;  ///< channels; 0: as many as the input has, a group each (depthwise)
  int kernel = 3;
  int stride = 1;
  int padding = -1;  ///< on each side; -1: kernel / 2
};

/// Rectangles for pooling.
struct PoolSpec {
  int rows = 2, columns = 2;  ///< kernel
  int row_stride = 2, column_stride = 2;
  int padding = 0;    ///< on each side
  bool same = false;  ///< pads below and to the right so that stride 1 keeps the size
};

/// Every method appends nodes and gives their result; a node has the name of its output. Weights depend on the seed and
/// their name alone, not on what was written before.
class GraphWriter {
 public:
  GraphWriter(const std::string& network, std::uint64_t seed);

  Map image(int channels, int rows, int columns);
  /// [N, steps, features]; Map.rows and .columns.
  Map sequence(int steps, int features);

  /// With a bias, for layers without batch normalisation.
  Map conv(const std::string& name, const Map& x, const ConvSpec& spec);
  /// `name`.conv without bias, `name`.norm and `name`.relu.
  Map unit(const std::string& name, const Map& x, const ConvSpec& spec, Activation activation);
  Map activate(const std::string& name, const Map& x, Activation activation);
  Map max_pool(const std::string& name, const Map& x, const PoolSpec& spec);
  Map global_average(const std::string& name, const Map& x);
  Map flatten(const std::string& name, const Map& x);
  Map dropout(const std::string& name, const Map& x, float ratio);
  /// `gain`: variance of the weights times the number of inputs; 2 before a ReLU, 1 before anything else.
  Map dense(const std::string& name, const Map& x, int out, double gain);
  Map add(const std::string& name, const Map& a, const Map& b);
  /// [N, steps, features] -> hidden state of the last step [N, hidden] through `layers` layers, features normalised.
  Map lstm(const std::string& name, const Map& x, int hidden, int layers);

  /// A node with one output of its name.
  onnx::NodeProto& node(const char* op, const std::string& name, std::initializer_list<std::string> inputs);
  std::string constant(const std::string& name, Dims shape, std::span<const float> values);
  std::string constant(const std::string& name, std::initializer_list<std::int64_t> values);
  /// Declares a node's result as an output, float [N, rest…].
  void output(const std::string& name, std::initializer_list<std::int64_t> rest);

  /// Checked. The writer is empty afterwards.
  [[nodiscard]] Model finish();

 private:
  std::string normalise(const std::string& name, const std::string& x, int channels);
  Map convolve(const std::string& name, const Map& x, const ConvSpec& spec, bool bias);
  std::string weights(const std::string& name, std::initializer_list<std::int64_t> shape, double deviation);
  std::string uniform(const std::string& name, std::initializer_list<std::int64_t> shape, double most);
  std::string filled(const std::string& name, int size, float value);

  Model model_;
  std::uint64_t seed_;
  bool has_clips_ = false;
};

}  // namespace rtmdl::networks
