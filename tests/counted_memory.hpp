// For tests that count what a process keeps in memory.
#pragma once

#include <sys/prctl.h>

namespace shoal::tests {

/// While it lives, new memory comes in small pages. Where the system gives huge ones unasked,
/// every thread's stack may count 2 MiB.
class SmallPages {
  public:
    SmallPages() : before_(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0)) { set(1); }
    ~SmallPages() { set(before_ == 1 ? 1 : 0); }
    SmallPages(const SmallPages&) = delete;
    SmallPages& operator=(const SmallPages&) = delete;

  private:
    static void set(unsigned long disabled) { prctl(PR_SET_THP_DISABLE, disabled, 0, 0, 0); }

    int before_;
};

}  // namespace shoal::tests
