#include "daemon/worker.hpp"

#include <pthread.h>

#include <utility>

namespace shoal {

Worker::Worker()
    : thread_([this](const std::stop_token& stop) {
          pthread_setname_np(pthread_self(), "worker");
          main(stop);
      }) {}

void Worker::stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
}

void Worker::post(std::function<void()> task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    changed_.notify_one();
}

void Worker::main(const std::stop_token& stop) {
    for (;;) {
        std::function<void()> task;
        {
            std::unique_lock lock(mutex_);
            if (!changed_.wait(lock, stop, [&] { return !tasks_.empty(); })) return;
            if (stop.stop_requested()) return;
            task = std::move(tasks_.front());
            tasks_.pop_front();
        }
        task();
    }
}

}  // namespace shoal
