// A persistent pool of compute threads that share loops with the calling thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace shoal::exec {

/// Owned by one thread, which calls run() and takes part in the work itself.
/// Idle workers spin for a few microseconds, then sleep. A loop waits for workers that take part
/// in it, never for one that comes too late.
class ThreadPool {
  public:
    /// `threads` counts the caller: 1 starts no thread. Throws std::system_error.
    explicit ThreadPool(std::uint32_t threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    std::uint32_t threads() const noexcept {
        return static_cast<std::uint32_t>(workers_.size()) + 1;
    }

    /// Calls fn(begin, end) for ranges of at most `chunk` that cover [0, count), on all threads;
    /// returns when all are done. Faster threads take more. `fn` must not throw.
    template <typename Fn>
    void run(std::size_t count, std::size_t chunk, Fn&& fn) noexcept {
        if (count == 0) return;
        if (workers_.empty() || count <= chunk) {
            fn(std::size_t{0}, count);
            return;
        }
        task_ = {&fn,
                 [](void* f, std::size_t begin, std::size_t end) noexcept {
                     (*static_cast<std::remove_reference_t<Fn>*>(f))(begin, end);
                 },
                 count, chunk};
        run_task();
    }

    /// Threads that this process may use: its affinity mask, bounded by the cgroup's CPU quota.
    static std::uint32_t usable_cores() noexcept;

  private:
    struct Task {
        void* fn = nullptr;
        void (*call)(void*, std::size_t, std::size_t) noexcept = nullptr;
        std::size_t count = 0;
        std::size_t chunk = 1;
    };

    /// Set in helpers_ while workers may join the task.
    static constexpr std::uint32_t kOpen = 1U << 31;

    void run_task() noexcept;
    bool join() noexcept;
    void work() noexcept;
    void worker_main(std::uint32_t index) noexcept;

    Task task_;                                          // changes only while helpers_ is 0
    alignas(64) std::atomic<std::size_t> next_{0};       // first index nobody has taken
    alignas(64) std::atomic<std::uint32_t> started_{0};  // number of tasks; workers wait on it
    alignas(64) std::atomic<std::uint32_t> helpers_{0};  // kOpen, and workers in the task
    std::atomic<bool> stopping_{false};
    std::vector<std::jthread> workers_;
};

}  // namespace shoal::exec
