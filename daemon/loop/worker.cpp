#include "daemon/loop/worker.hpp"

#include <pthread.h>

#include <utility>

namespace shoal {

Worker::Worker(std::string name)
    : thread_([this, name = std::move(name)](const std::stop_token& stop) {
          pthread_setname_np(pthread_self(), name.c_str());
          main(stop);
      }) {}

void Worker::stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
}

std::stop_source Worker::post(Task task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back({std::move(task), {}});
    changed_.notify_one();
    return tasks_.back().stop;
}

void Worker::main(const std::stop_token& stop) {
    for (;;) {
        Posted task;
        {
            std::unique_lock lock(mutex_);
            if (!changed_.wait(lock, stop, [&] { return !tasks_.empty(); })) return;
            if (stop.stop_requested()) return;
            task = std::move(tasks_.front());
            tasks_.pop_front();
        }
        const std::stop_callback on_stop(stop, [&] { task.stop.request_stop(); });
        task.run(task.stop.get_token());
    }
}

}  // namespace shoal
