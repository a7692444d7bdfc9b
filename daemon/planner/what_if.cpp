#include "daemon/planner/what_if.hpp"

#include <fmt/core.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

namespace shoal::planner {
namespace {

constexpr double kGiga = 1e9, kMega = 1e6;

/// A table while it is read: every key must be known, and every value within its range.
class Table {
  public:
    Table(const toml::table& table, std::string name, std::string file)
        : table_(table), name_(std::move(name)), file_(std::move(file)) {}

    [[noreturn]] void fail(std::string_view key, const std::string& what) const {
        const toml::node* node = table_.get(key);
        const auto line = (node == nullptr ? table_.source() : node->source()).begin.line;
        throw WhatIfError(fmt::format("{}:{}: {}{}: {}", file_, line, name_, key, what));
    }

    /// A number from `least` to `most`, or nothing when the key is absent.
    std::optional<double> number(std::string_view key, double least, double most) {
        const toml::node* node = take(key);
        if (node == nullptr) return std::nullopt;
        const auto value = node->value<double>();
        if (!node->is_number() || !value || !(*value >= least && *value <= most)) {
            fail(key, fmt::format("a number from {:g} to {:g} belongs here", least, most));
        }
        return value;
    }
    double needed(std::string_view key, double least, double most) {
        const auto value = number(key, least, most);
        if (!value) fail(key, fmt::format("is missing; a number from {:g} to {:g}", least, most));
        return *value;
    }
    std::optional<std::uint32_t> whole(std::string_view key, std::uint32_t least,
                                       std::uint32_t most) {
        const auto value = number(key, least, most);
        if (value && *value != std::floor(*value)) fail(key, "a whole number belongs here");
        return value ? std::optional(static_cast<std::uint32_t>(*value)) : std::nullopt;
    }
    std::uint32_t needed_whole(std::string_view key, std::uint32_t least, std::uint32_t most) {
        const auto value = whole(key, least, most);
        if (!value) fail(key, fmt::format("is missing; a whole number from {} to {}", least, most));
        return *value;
    }
    std::string text(std::string_view key, std::string fallback) {
        const toml::node* node = take(key);
        if (node == nullptr) return fallback;
        const auto value = node->value<std::string>();
        if (!node->is_string() || value->empty() || value->size() > 64) {
            fail(key, "a text of 1 to 64 characters belongs here");
        }
        return *value;
    }
    bool flag(std::string_view key, bool otherwise = false) {
        const toml::node* node = take(key);
        if (node != nullptr && !node->is_boolean()) fail(key, "true or false belongs here");
        return node == nullptr ? otherwise : *node->value<bool>();
    }
    std::optional<kernels::DType> type(std::string_view key) {
        const std::string name = text(key, "");
        if (name.empty()) return std::nullopt;
        std::string known;
        for (const kernels::DType type : kernels::kDTypes) {
            if (name == kernels::name(type)) return type;
            known += (known.empty() ? "" : ", ") + std::string(kernels::name(type));
        }
        fail(key, "no type of weights; known are " + known);
    }
    template <typename Number>
    std::vector<Number> numbers(std::string_view key, double most) {
        std::vector<Number> out;
        const toml::node* node = take(key);
        if (node == nullptr) return out;
        const auto wrong = [&] {
            fail(key, fmt::format("a list of 1 to 64 whole numbers up to {:g} belongs here", most));
        };
        if (!node->is_array() || node->as_array()->empty() || node->as_array()->size() > 64)
            wrong();
        for (const toml::node& item : *node->as_array()) {
            const auto value = item.value<double>();
            if (!item.is_number() || !(*value >= 0 && *value <= most) ||
                *value != std::floor(*value)) {
                wrong();
            }
            out.push_back(static_cast<Number>(*value));
        }
        return out;
    }
    const toml::node* take(std::string_view key) {
        taken_.insert(std::string(key));
        return table_.get(key);
    }
    /// After all known keys were taken.
    void end() const {
        for (const auto& [key, node] : table_) {
            if (taken_.contains(std::string(key.str()))) continue;
            std::string known;
            for (const std::string& name : taken_) known += (known.empty() ? "" : ", ") + name;
            fail(key.str(), "no such key; known are " + known);
        }
    }

  private:
    const toml::table& table_;
    std::string name_, file_;
    std::set<std::string> taken_;
};

Shape read_model(Table t) {
    Shape s;
    s.name = t.text("name", "model");
    s.n_layers = t.needed_whole("layers", 1, 1024);
    s.dim = t.needed_whole("width", 32, 65536);
    s.n_heads = t.needed_whole("heads", 1, 1024);
    s.n_kv_heads = t.whole("kv_heads", 1, 1024).value_or(s.n_heads);
    if (s.n_heads % s.n_kv_heads != 0) t.fail("kv_heads", "must divide the heads");
    s.head_dim = t.whole("head_dim", 2, 1024).value_or(s.dim / s.n_heads);
    s.n_ff = t.needed_whole("ffn", 32, 1 << 20);
    s.n_vocab = t.needed_whole("vocabulary", 2, 1 << 22);
    s.n_experts = t.whole("experts", 0, 1024).value_or(0);
    s.n_experts_used = t.whole("experts_used", 0, 1024).value_or(s.n_experts);
    if (s.n_experts_used > s.n_experts) t.fail("experts_used", "more than there are experts");
    s.tied_output = t.flag("tied_output");
    s.type = t.type("type").value_or(kernels::DType::q4_0);
    s.type_output = t.type("output_type").value_or(kernels::DType::q6_k);
    t.end();
    return s;
}

Link read_link(Table t) {
    Link link;
    if (const auto us = t.number("exchange_us", 0.1, 1e7)) link.exchange_seconds = *us / 1e6;
    if (const auto mb = t.number("megabytes_per_second", 1e-3, 1e6)) {
        link.bytes_per_second = *mb * kMega;
    }
    t.end();
    return link;
}

void read_devices(Table t, Cluster& cluster) {
    PlanDevice device;
    device.name = t.text("name", "device");
    const std::uint32_t count = t.whole("count", 1, kMostDevices).value_or(1);
    device.profile = DeviceProfile::guess(t.needed("gigabytes_per_second", 0.001, 1e5) * kGiga);
    if (const auto madds = t.number("giga_multiply_adds_per_second", 0.001, 1e6)) {
        const double known = device.profile.of(Family::q8).many_rows;
        for (Rates& rates : device.profile.rates) {
            rates.many_rows *= *madds * kGiga / known;
            rates.in_file *= *madds * kGiga / known;
        }
    }
    if (const auto gb = t.number("memory_gb", 0, 1e6)) {
        device.memory_bytes = static_cast<std::uint64_t>(*gb * kGiga);
    }
    device.most = t.number("share", 0, 1).value_or(1);
    device.whole_file = t.flag("file", true);
    if (cluster.devices.size() + count > kMostDevices) {
        t.fail("count", fmt::format("more than {} devices altogether", kMostDevices));
    }
    t.end();
    for (std::uint32_t i = 0; i < count; ++i) cluster.devices.push_back(device);
}

}  // namespace

WhatIf read_what_if(const std::string& text, const std::string& file) {
    toml::table root;
    try {
        root = toml::parse(text, file);
    } catch (const toml::parse_error& error) {
        throw WhatIfError(
            fmt::format("{}:{}: {}", file, error.source().begin.line, error.description()));
    }
    WhatIf out;
    Table top(root, "", file);
    const auto table = [&](const char* name) -> const toml::table* {
        const toml::node* node = top.take(name);
        if (node != nullptr && !node->is_table()) top.fail(name, "a table belongs here");
        return node == nullptr ? nullptr : node->as_table();
    };
    if (const auto* model = table("model")) out.model = read_model({*model, "model.", file});
    if (const auto* link = table("link")) out.cluster.usual = read_link({*link, "link.", file});
    if (const auto* plan = table("plan")) {
        Table t(*plan, "plan.", file);
        out.context = t.whole("context", 1, 1 << 24).value_or(out.context);
        out.counts = t.numbers<std::uint32_t>("counts", kMostDevices);
        if (auto positions = t.numbers<double>("positions", 1 << 24); !positions.empty()) {
            out.positions = std::move(positions);
        }
        out.prompt = t.whole("prompt", 1, 1 << 24).value_or(out.prompt);
        out.min_devices = t.whole("min_devices", 1, kMostDevices).value_or(1);
        t.end();
    }
    const toml::node* devices = top.take("device");
    if (devices == nullptr || !devices->is_array_of_tables()) {
        top.fail("device",
                 "is missing: write [[device]] for each kind of device, the root's first");
    }
    for (const toml::node& device : *devices->as_array()) {
        read_devices({*device.as_table(), "device.", file}, out.cluster);
    }
    top.end();
    return out;
}

Terms terms_of(const WhatIf& what_if, const model::Hparams& hp) {
    Terms terms;
    terms.min_devices = what_if.min_devices;
    const std::uint64_t row = std::uint64_t{6} * hp.dim + 2 * hp.q_dim() + 2 * hp.n_ff;
    const std::uint64_t buffers = sizeof(float) * row * terms.form.batch_rows;
    terms.demand = [buffers, positions = what_if.context,
                    head = std::uint64_t{2} * hp.head_dim](std::size_t devices) {
        return shard::Demand{positions, head, buffers / devices};
    };
    // A device's own rows take as much each as all rows in its heads and columns together.
    terms.rows = RowTerms{[buffers](std::span<const shard::Slice>,
                                    std::span<const std::uint32_t> shares, std::size_t rank) {
        double all = 0;
        for (const std::uint32_t share : shares) all += share;
        return static_cast<std::uint64_t>(static_cast<double>(buffers) * shares[rank] / all);
    }};
    return terms;
}

}  // namespace shoal::planner
