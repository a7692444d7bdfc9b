// Restores a variable when it goes. Internal to this folder.
#pragma once

#include <utility>

namespace shoal::jinja {

/// The variable has another value as long as this lives.
template <class T>
class Meanwhile {
  public:
    Meanwhile(T& variable, T value)
        : variable_(variable), before_(std::exchange(variable, std::move(value))) {}
    ~Meanwhile() { variable_ = std::move(before_); }
    Meanwhile(const Meanwhile&) = delete;
    Meanwhile& operator=(const Meanwhile&) = delete;

  private:
    T& variable_;
    T before_;
};

}  // namespace shoal::jinja
