// Tests with many connections need descriptors, and others need them to be rare.
#pragma once

#include <sys/resource.h>

#include <algorithm>

namespace shoal::mesh::testing {

/// The process's limit while this lives.
class Descriptors {
  public:
    explicit Descriptors(rlim_t wanted) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        enough = wanted <= before_.rlim_max;
        const rlimit limit{std::min(wanted, before_.rlim_max), before_.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    ~Descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    Descriptors(const Descriptors&) = delete;
    Descriptors& operator=(const Descriptors&) = delete;

    bool enough = false;

  private:
    rlimit before_{};
};

}  // namespace shoal::mesh::testing
