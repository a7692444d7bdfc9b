// The forward pass of a file in float64, over the dequantised weights: what an executor's
// rounding of activations and sums is measured against. Plain loops, no cache, one sequence.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"

namespace shoal::tests {

class DoubleModel {
  public:
    /// The file must outlive the model.
    explicit DoubleModel(const model::GgufFile& file);

    /// Logits (position)(n_vocab) after each token.
    std::vector<std::vector<double>> logits(const std::vector<std::int32_t>& ids) const;

    /// What the last norm makes of each token (position)(dim).
    std::vector<std::vector<double>> hidden(const std::vector<std::int32_t>& ids) const;

    /// Mean of -ln p(ids[t + 1] | ids[0..t]) in nats.
    double loss(const std::vector<std::int32_t>& ids) const;

  private:
    /// (n, T): one row for each feature, a column for each position, so that sums over features
    /// are loops over positions.
    using Columns = std::vector<std::vector<double>>;

    /// `matrix`: which of the tensor's.
    Columns product(const std::string& tensor, const Columns& x, std::size_t matrix = 0) const;
    Columns normed(const std::string& tensor, const Columns& x) const;
    Columns projected(std::uint32_t layer, const std::string& part, const Columns& x) const;
    void norm_heads(const std::string& tensor, Columns& x) const;
    void rotate(Columns& x) const;
    Columns attended(const Columns& q, const Columns& k, const Columns& v) const;
    Columns fed_forward(std::uint32_t layer, const std::string& suffix, const Columns& h,
                        std::size_t expert) const;
    Columns mixed(std::uint32_t layer, const Columns& h) const;
    void add_layer(std::uint32_t layer, Columns& x) const;
    Columns states(const std::vector<std::int32_t>& ids) const;

    const model::GgufFile& file_;
    model::Hparams hp_;
};

/// The same of logits (position)(n_vocab) that some other forward pass gave.
double loss_of(const std::vector<std::vector<float>>& logits, const std::vector<std::int32_t>& ids);

}  // namespace shoal::tests
