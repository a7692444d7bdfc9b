#include "daemon/exec/overlap.hpp"

#include <cstring>
#include <thread>

namespace shoal::exec {

Status Overlap::run(const Half& half) {
    std::jthread second([&] {
        {
            std::unique_lock lock(mutex_);
            wait_for(lock, computes_, 1);
        }
        run_half(1, half);
    });
    run_half(0, half);
    second.join();
    for (const auto& thrown : thrown_) {
        if (thrown) std::rethrow_exception(thrown);
    }
    return failed_;
}

void Overlap::run_half(std::size_t half, const Half& body) noexcept {
    Status status = Status::aborted;
    try {
        status = body(half, sides_[half]);
    } catch (...) {
        thrown_[half] = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    fail(status);
    ended_[half] = true;
    changed_.notify_all();
}

void Overlap::fail(Status status) noexcept {
    if (failed_ == Status::ok) failed_ = status;
}

void Overlap::wait_for(std::unique_lock<std::mutex>& lock, const std::size_t& turn,
                       std::size_t half) {
    changed_.wait(lock, [&] { return turn == half || ended_[1 - half]; });
}

/// A collective of this half, beside which the other computes.
template <typename Call>
Status Overlap::exchange(std::size_t half, const Call& call) {
    std::unique_lock lock(mutex_);
    computes_ = 1 - half;
    changed_.notify_all();
    wait_for(lock, exchanges_, half);
    std::exception_ptr thrown;
    if (failed_ == Status::ok) {
        lock.unlock();
        Status status = Status::aborted;
        try {
            status = call();
        } catch (...) {
            thrown = std::current_exception();
        }
        lock.lock();
        fail(status);
    }
    exchanges_ = 1 - half;
    changed_.notify_all();
    wait_for(lock, computes_, half);
    if (thrown) std::rethrow_exception(thrown);
    return failed_;
}

Status Overlap::Side::all_gather(std::span<const std::byte> mine,
                                 std::vector<std::span<const std::byte>>& theirs) {
    return both_.exchange(half_,
                          [&] { return kept(both_.collective_.all_gather(mine, theirs), theirs); });
}

Status Overlap::Side::all_to_all(std::span<const std::span<const std::byte>> mine,
                                 std::vector<std::span<const std::byte>>& theirs) {
    return both_.exchange(half_,
                          [&] { return kept(both_.collective_.all_to_all(mine, theirs), theirs); });
}

// The other half's next collective ends the views.
Status Overlap::Side::kept(Status status, std::vector<std::span<const std::byte>>& theirs) {
    if (status != Status::ok) return status;
    std::size_t bytes = 0;
    for (const auto view : theirs) bytes += view.size();
    kept_.resize(bytes);
    std::byte* to = kept_.data();
    for (auto& view : theirs) {
        if (!view.empty()) std::memcpy(to, view.data(), view.size());
        view = {to, view.size()};
        to += view.size();
    }
    return status;
}

}  // namespace shoal::exec
