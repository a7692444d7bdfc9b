#include "mesh/exchange/zmtp/connection.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "mesh/exchange/window.hpp"

namespace shoal::mesh::exchange::zmtp {

namespace {

/// Read ahead at a time: several frames of a decode step.
constexpr std::size_t kBufferBytes = 16 << 10;
/// Messages that one call to the system sends.
constexpr std::size_t kGather = 8;
/// Frames that are kept to be used again: those of both windows of lock-step, and some.
constexpr std::size_t kMaxPooled = 2 * kDepth + 4, kMaxPooledBytes = 4 << 20, kPageBytes = 4096;

std::shared_ptr<WireFrame> fresh(std::size_t size) {
    auto frame = std::make_shared<WireFrame>(size);
    frame->bytes = {frame->memory.get(), size};
    return frame;
}

}  // namespace

std::shared_ptr<WireFrame> FramePool::take(std::size_t size) {
    std::shared_ptr<WireFrame>* best = nullptr;  // the smallest that will do, or else any
    const auto does = [&](const auto& frame) { return frame->capacity >= size; };
    for (auto& frame : frames_) {
        if (frame.use_count() != 1) continue;
        const bool better = best == nullptr || does(frame) > does(*best) ||
                            (does(frame) && frame->capacity < (*best)->capacity);
        if (better) best = &frame;
    }
    if (size > kMaxPooledBytes) return fresh(size);
    if (best == nullptr || (!does(*best) && frames_.size() < kMaxPooled)) {
        if (frames_.size() >= kMaxPooled) return fresh(size);
        best = &frames_.emplace_back();
    }
    if (!*best || !does(*best)) *best = fresh((size + kPageBytes - 1) / kPageBytes * kPageBytes);
    (*best)->bytes = {(*best)->memory.get(), size};
    return *best;
}

std::shared_ptr<Outgoing> as_message(const Frame& frame) {
    std::byte* const body = frame->bytes.data();
    const std::size_t head =
        put_message_head(std::span<std::byte, kMaxHeadBytes>(body - kMaxHeadBytes, kMaxHeadBytes),
                         frame->bytes.size());
    const std::size_t size = head + frame->bytes.size();
    return std::make_shared<Outgoing>(Outgoing{frame, {body - head, size}, size});
}

Reader::Reader(std::size_t longest, Bytes received)
    : longest_(longest), buffer_(std::move(received)) {
    end_ = buffer_.size();
    bytes_ = end_;
    buffer_.resize(std::max(buffer_.size(), kBufferBytes));
}

void Reader::open_with(const SealKey& key, std::uint64_t counter) {
    opener_ = std::make_unique<Opener>(key, counter);
}

Reader::Result Reader::next(int socket) {
    for (;;) {
        if (const Result result = parse(); result != Result::nothing) return result;
        if (const Result result = fill(socket); result != Result::message) return result;
    }
}

/// What can be made of the bytes that are there.
Reader::Result Reader::parse() {
    if (!in_body_) {
        Head head;
        const auto state = decode_head(std::span(buffer_).subspan(begin_, end_ - begin_), head);
        if (state == HeadState::malformed) return Result::malformed;
        if (state == HeadState::incomplete) return Result::nothing;
        if (head.length > longest_) return Result::malformed;
        begin_ += head.size;
        body_.reset();
        body_ = pool_.take(head.length);
        in_body_ = true;
        is_command_ = head.command;
        there_ = 0;
    }
    const std::size_t more = std::min(body_->bytes.size() - there_, end_ - begin_);
    std::memcpy(body_->bytes.data() + there_, buffer_.data() + begin_, more);
    begin_ += more;
    there_ += more;
    return complete();
}

/// Opens as much as there is of a sealed frame: while the rest is on its way, this costs nothing.
Reader::Result Reader::complete() {
    const bool sealed = opener_ && !is_command_;
    if (sealed && !opener_->go_on(body_->bytes, there_)) return Result::forged;
    if (there_ < body_->bytes.size()) return Result::nothing;
    in_body_ = false;
    if (is_command_) return Result::command;
    if (sealed) {
        const auto frame = opener_->finish(body_->bytes);
        if (!frame) return Result::forged;
        body_->bytes = *frame;
    }
    return Result::message;
}

/// Reads what has come, a long body to its place. `message` when there was something.
Reader::Result Reader::fill(int socket) {
    if (begin_ == end_) {
        begin_ = end_ = 0;
    } else if (end_ == buffer_.size()) {  // the beginning of a head
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    std::array<iovec, 2> to{};
    std::size_t count = 0;
    const std::size_t rest = in_body_ ? body_->bytes.size() - there_ : 0;
    if (rest != 0) to[count++] = {body_->bytes.data() + there_, rest};
    to[count++] = {buffer_.data() + end_, buffer_.size() - end_};
    const ssize_t got = ::readv(socket, to.data(), static_cast<int>(count));
    if (got == 0) return Result::ended;
    if (got < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? Result::nothing
                                                                         : Result::ended;
    }
    const auto size = static_cast<std::size_t>(got);
    bytes_ += size;
    const std::size_t direct = std::min(size, rest);
    there_ += direct;
    end_ += size - direct;
    return Result::message;
}

void Writer::push(std::shared_ptr<const Outgoing> what) {
    queued_bytes_ += what->bytes.size();
    queue_.push_back({std::move(what), 0});
}

bool Writer::flush(int socket) {
    while (!queue_.empty()) {
        std::array<iovec, kGather> from{};
        std::size_t count = 0, size = 0;
        for (const Entry& entry : queue_) {
            const std::size_t ready = entry.what->ready - entry.sent;
            if (count == from.size() || ready == 0) break;
            // What is sent is only read, which iovec cannot say.
            from[count++] = {const_cast<std::byte*>(entry.what->bytes.data()) + entry.sent, ready};
            size += ready;
            if (entry.what->ready < entry.what->bytes.size()) break;
        }
        if (count == 0) return true;
        msghdr message{};
        message.msg_iov = from.data();
        message.msg_iovlen = count;
        const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN || errno == EWOULDBLOCK;
        }
        bytes_ += static_cast<std::uint64_t>(sent);
        auto left = static_cast<std::size_t>(sent);
        while (left != 0) {
            Entry& entry = queue_.front();
            const std::size_t part = std::min(left, entry.what->ready - entry.sent);
            entry.sent += part;
            left -= part;
            if (entry.sent < entry.what->bytes.size()) break;
            queued_bytes_ -= entry.sent;
            queue_.pop_front();
        }
        if (static_cast<std::size_t>(sent) < size) return true;
    }
    return true;
}

namespace {

std::shared_ptr<Outgoing> own(Bytes bytes) {
    const auto owner = std::make_shared<const Bytes>(std::move(bytes));
    return std::make_shared<Outgoing>(Outgoing{owner, *owner, owner->size()});
}

}  // namespace

void Connection::send_command(std::string_view name, std::span<const std::byte> data) {
    Bytes bytes;
    append_command(bytes, name, data);
    writer.push(own(std::move(bytes)));
}

void Connection::send_message(std::span<const std::byte> body) {
    Bytes bytes;
    append_message(bytes, body);
    writer.push(own(std::move(bytes)));
}

}  // namespace shoal::mesh::exchange::zmtp
