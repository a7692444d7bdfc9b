// Prometheus' text format, version 0.0.4.
// Source: prometheus/docs, content/docs/instrumenting/exposition_formats.md.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/metrics/histogram.hpp"

namespace shoal::http::native {

inline constexpr char kExpositionType[] = "text/plain; version=0.0.4; charset=utf-8";

class Exposition {
  public:
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    /// The samples that follow are of this one. `type`: "counter", "gauge" or "histogram"; `help`
    /// is one line. A name comes once.
    void metric(std::string_view name, std::string_view type, std::string_view help);
    void sample(double value, Labels labels = {}) { write("", labels, "", value); }
    void sample(std::integral auto value, Labels labels = {}) {
        sample(static_cast<double>(value), labels);
    }
    /// Of a metric of this type.
    void histogram(const Histogram& values, Labels labels = {});

    const std::string& text() const noexcept { return text_; }

  private:
    /// `bound` is a bucket's label; empty: it is none.
    void write(std::string_view suffix, Labels labels, std::string_view bound, double value);

    std::string text_;
    std::string name_;
};

}  // namespace shoal::http::native
