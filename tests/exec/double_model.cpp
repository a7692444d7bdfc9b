#include "tests/exec/double_model.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/kernels.hpp"

namespace shoal::tests {
namespace {

/// One row of a tensor as f32, exactly what every kernel multiplies by.
std::vector<float> weights(const model::GgufFile& file, const model::TensorInfo& info,
                           std::size_t row) {
    std::vector<float> out(info.cols);
    std::vector<std::byte> bytes(kernels::row_bytes(info.type, info.cols));
    const model::GgufFile::Place at = file.place(info);
    at.file.read(at.begin + row * bytes.size(), bytes);
    kernels::dequantize(info.type, bytes.data(), out.data(), info.cols);
    return out;
}

/// -ln of the target's probability.
template <class Logits>
double surprise(const Logits& logits, std::int32_t target) {
    const double max = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit - max);
    return max + std::log(sum) - logits[static_cast<std::size_t>(target)];
}

void add(std::vector<std::vector<double>>& x, const std::vector<std::vector<double>>& y) {
    for (std::size_t i = 0; i < x.size(); ++i) {
        for (std::size_t t = 0; t < x[i].size(); ++t) x[i][t] += y[i][t];
    }
}

std::vector<std::vector<double>> by_position(const std::vector<std::vector<double>>& x) {
    std::vector<std::vector<double>> out(x[0].size(), std::vector<double>(x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) {
        for (std::size_t t = 0; t < x[i].size(); ++t) out[t][i] = x[i][t];
    }
    return out;
}

}  // namespace

DoubleModel::DoubleModel(const model::GgufFile& file) : file_(file), hp_(read_hparams(file)) {}

DoubleModel::Columns DoubleModel::product(const std::string& tensor, const Columns& x,
                                          std::size_t matrix) const {
    const model::TensorInfo& info = file_.header().tensor(tensor);
    Columns y(info.rows / info.matrices, std::vector<double>(x[0].size()));
    for (std::size_t o = 0; o < y.size(); ++o) {
        const std::vector<float> w = weights(file_, info, matrix * y.size() + o);
        double* out = y[o].data();
        // Two features at a time halve the loads and stores of sums. Widths are even.
        for (std::size_t k = 0; k + 1 < w.size(); k += 2) {
            const double w0 = w[k];
            const double w1 = w[k + 1];
            const double* x0 = x[k].data();
            const double* x1 = x[k + 1].data();
            for (std::size_t t = 0; t < y[o].size(); ++t) out[t] += w0 * x0[t] + w1 * x1[t];
        }
    }
    return y;
}

DoubleModel::Columns DoubleModel::normed(const std::string& tensor, const Columns& x) const {
    const std::vector<float> w = weights(file_, file_.header().tensor(tensor), 0);
    std::vector<double> squares(x[0].size());
    for (const auto& row : x) {
        for (std::size_t t = 0; t < row.size(); ++t) squares[t] += row[t] * row[t];
    }
    Columns y = x;
    for (std::size_t i = 0; i < y.size(); ++i) {
        for (std::size_t t = 0; t < squares.size(); ++t) {
            const double mean = squares[t] / static_cast<double>(x.size());
            y[i][t] *= double{w[i]} / std::sqrt(mean + double{hp_.norm_eps});
        }
    }
    return y;
}

/// A projection to heads, with its bias if the file has one.
DoubleModel::Columns DoubleModel::projected(std::uint32_t layer, const std::string& part,
                                            const Columns& x) const {
    Columns y = product(model::tensor_name::layer(layer, part + ".weight"), x);
    const auto* bias = file_.header().find_tensor(model::tensor_name::layer(layer, part + ".bias"));
    if (bias == nullptr) return y;
    const std::vector<float> b = weights(file_, *bias, 0);
    for (std::size_t i = 0; i < y.size(); ++i) {
        for (double& value : y[i]) value += b[i];
    }
    return y;
}

/// Norms every head by itself, if the file has the weights for it.
void DoubleModel::norm_heads(const std::string& tensor, Columns& x) const {
    if (file_.header().find_tensor(tensor) == nullptr) return;
    for (std::size_t first = 0; first < x.size(); first += hp_.head_dim) {
        const auto begin = x.begin() + static_cast<std::ptrdiff_t>(first);
        const Columns head = normed(tensor, {begin, begin + hp_.head_dim});
        std::copy(head.begin(), head.end(), begin);
    }
}

/// Turns the pairs of every head: (2 i, 2 i + 1), or (i, i + rot / 2). Frequencies are divided by
/// the scale (linear scaling) and each by its own divisor (rope_freqs, as Llama 3.1 has them).
void DoubleModel::rotate(Columns& x) const {
    const auto* divisors = file_.header().find_tensor(model::tensor_name::kRopeFreqs);
    const std::vector<float> divisor =
        divisors == nullptr ? std::vector<float>() : weights(file_, *divisors, 0);
    const bool interleaved = hp_.rope_kind == kernels::RopeKind::interleaved;
    const std::size_t step = interleaved ? 2 : 1;
    const std::size_t partner = interleaved ? 1 : hp_.rope_dim / 2;
    for (std::size_t first = 0; first < x.size(); first += hp_.head_dim) {
        for (std::size_t i = 0; i < hp_.rope_dim / 2; ++i) {
            const double frequency =
                std::pow(double{hp_.rope_base}, -2.0 * static_cast<double>(i) / hp_.rope_dim) /
                (double{hp_.rope_scale} * (divisors == nullptr ? 1.0 : double{divisor[i]}));
            auto& one = x[first + step * i];
            auto& other = x[first + step * i + partner];
            for (std::size_t t = 0; t < one.size(); ++t) {
                const double c = std::cos(static_cast<double>(t) * frequency);
                const double s = std::sin(static_cast<double>(t) * frequency);
                const double a = one[t];
                const double b = other[t];
                one[t] = a * c - b * s;
                other[t] = a * s + b * c;
            }
        }
    }
}

DoubleModel::Columns DoubleModel::attended(const Columns& q, const Columns& k,
                                           const Columns& v) const {
    const std::size_t positions = q[0].size();
    const double scale = 1 / std::sqrt(static_cast<double>(hp_.head_dim));
    Columns out(q.size(), std::vector<double>(positions));
    for (std::size_t head = 0; head < hp_.n_heads; ++head) {
        const std::size_t own = head * hp_.head_dim;
        const std::size_t kv = head / hp_.group() * hp_.head_dim;
        for (std::size_t t = 0; t < positions; ++t) {
            std::vector<double> score(t + 1);
            for (std::size_t i = 0; i < hp_.head_dim; ++i) {
                for (std::size_t s = 0; s <= t; ++s) score[s] += q[own + i][t] * k[kv + i][s];
            }
            const double max = *std::max_element(score.begin(), score.end());
            double sum = 0;
            for (double& value : score) sum += value = std::exp((value - max) * scale);
            for (std::size_t i = 0; i < hp_.head_dim; ++i) {
                double total = 0;
                for (std::size_t s = 0; s <= t; ++s) total += score[s] * v[kv + i][s];
                out[own + i][t] = total / sum;
            }
        }
    }
    return out;
}

DoubleModel::Columns DoubleModel::fed_forward(std::uint32_t layer, const std::string& suffix,
                                              const Columns& h, std::size_t expert) const {
    const auto name = [&](const char* part) {
        return model::tensor_name::layer(layer, part + suffix);
    };
    Columns gate = product(name("ffn_gate"), h, expert);
    const Columns up = product(name("ffn_up"), h, expert);
    for (std::size_t i = 0; i < gate.size(); ++i) {
        for (std::size_t t = 0; t < gate[i].size(); ++t) {
            gate[i][t] *= up[i][t] / (1 + std::exp(-gate[i][t]));
        }
    }
    return product(name("ffn_down"), gate, expert);
}

/// Every expert computes every position; those outside a position's best have the share 0.
DoubleModel::Columns DoubleModel::mixed(std::uint32_t layer, const Columns& h) const {
    Columns shares = product(model::tensor_name::layer(layer, "ffn_gate_inp.weight"), h);
    for (std::size_t t = 0; t < h[0].size(); ++t) {
        std::vector<double> sorted;
        for (const auto& scores : shares) sorted.push_back(scores[t]);
        std::sort(sorted.rbegin(), sorted.rend());
        const double least = sorted[hp_.n_experts_used - 1];
        double sum = 0;
        for (auto& scores : shares) {
            scores[t] = scores[t] < least ? 0 : std::exp(scores[t]);
            sum += scores[t];
        }
        for (auto& scores : shares) scores[t] /= sum;
    }
    Columns out(h.size(), std::vector<double>(h[0].size()));
    for (std::size_t e = 0; e < shares.size(); ++e) {
        Columns y = fed_forward(layer, "_exps.weight", h, e);
        for (auto& row : y) {
            for (std::size_t t = 0; t < row.size(); ++t) row[t] *= shares[e][t];
        }
        add(out, y);
    }
    return out;
}

void DoubleModel::add_layer(std::uint32_t layer, Columns& x) const {
    const auto name = [layer](const char* part) { return model::tensor_name::layer(layer, part); };
    const Columns h = normed(name("attn_norm.weight"), x);
    Columns q = projected(layer, "attn_q", h);
    Columns k = projected(layer, "attn_k", h);
    norm_heads(name("attn_q_norm.weight"), q);
    norm_heads(name("attn_k_norm.weight"), k);
    rotate(q);
    rotate(k);
    const Columns v = projected(layer, "attn_v", h);
    add(x, product(name("attn_output.weight"), attended(q, k, v)));
    const Columns g = normed(name("ffn_norm.weight"), x);
    add(x, hp_.n_experts == 0 ? fed_forward(layer, ".weight", g, 0) : mixed(layer, g));
}

/// What the last norm makes of the tokens.
DoubleModel::Columns DoubleModel::states(const std::vector<std::int32_t>& ids) const {
    const model::TensorInfo& embedding = file_.header().tensor(model::tensor_name::kEmbedding);
    Columns x(hp_.dim, std::vector<double>(ids.size()));
    for (std::size_t t = 0; t < ids.size(); ++t) {
        const auto row = weights(file_, embedding, static_cast<std::size_t>(ids[t]));
        for (std::size_t i = 0; i < hp_.dim; ++i) x[i][t] = row[i];
    }
    for (std::uint32_t layer = 0; layer < hp_.n_layers; ++layer) add_layer(layer, x);
    return normed(model::tensor_name::kOutputNorm, x);
}

std::vector<std::vector<double>> DoubleModel::logits(const std::vector<std::int32_t>& ids) const {
    return by_position(
        product(hp_.tied_output ? model::tensor_name::kEmbedding : model::tensor_name::kOutput,
                states(ids)));
}

std::vector<std::vector<double>> DoubleModel::hidden(const std::vector<std::int32_t>& ids) const {
    return by_position(states(ids));
}

double DoubleModel::loss(const std::vector<std::int32_t>& ids) const {
    const auto all = logits({ids.begin(), ids.end() - 1});
    double sum = 0;
    for (std::size_t t = 0; t < all.size(); ++t) sum += surprise(all[t], ids[t + 1]);
    return sum / static_cast<double>(all.size());
}

double loss_of(const std::vector<std::vector<float>>& logits,
               const std::vector<std::int32_t>& ids) {
    double sum = 0;
    for (std::size_t t = 0; t < logits.size(); ++t) {
        sum += surprise(std::vector<double>(logits[t].begin(), logits[t].end()), ids[t + 1]);
    }
    return sum / static_cast<double>(logits.size());
}

}  // namespace shoal::tests
