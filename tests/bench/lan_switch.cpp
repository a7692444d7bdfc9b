// lan-switch: an Ethernet switch between network namespaces whose links have a rate and a delay,
// for measurements under kernels without netem. Needs root; runs until it is stopped.
//
//   lan-switch DELAY_US RATE_MBIT DEVICE NAMESPACE...
//
// Makes a tap device of this name in each namespace, prints "ready" and forwards frames. A frame
// occupies its sender's link for its length (RATE_MBIT 0: no limit) and arrives DELAY_US later.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

/// Ethernet's largest frame with a VLAN tag; taps do not hand over larger ones by default.
constexpr std::size_t kMaxFrame = 1522;
/// Preamble, checksum and gap occupy the link too.
constexpr std::size_t kFrameOverhead = 24;
/// Frames on their way from one sender; more wait in the tap, and the kernel drops there.
constexpr std::size_t kMaxQueued = 8192;
/// Frames taken from one sender before the others have their turn.
constexpr int kBurst = 64;
/// A switch's table of addresses; small, as there is one device a link.
constexpr std::size_t kMaxAddresses = 4096;

using Address = std::array<std::uint8_t, 6>;

struct Frame {
    Clock::time_point due;
    std::size_t size = 0;
    std::array<std::uint8_t, kMaxFrame> bytes;
};

struct Port {
    int tap = -1;
    Clock::time_point link_free;
    std::deque<Frame> queue;
};

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// Enters the namespace: a tap belongs to the one that its maker is in.
int open_tap(const std::string& name, const std::string& device) {
    const std::string path = "/var/run/netns/" + name;
    const int space = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (space < 0 || ::setns(space, CLONE_NEWNET) != 0) fail(path);
    ::close(space);
    const int tap = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap < 0) fail("/dev/net/tun");
    ifreq request{};
    if (device.size() >= sizeof request.ifr_name) throw std::runtime_error("DEVICE is too long");
    std::memcpy(request.ifr_name, device.data(), device.size());
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (::ioctl(tap, TUNSETIFF, &request) != 0) fail("TUNSETIFF in " + name);
    return tap;
}

class Switch {
  public:
    Switch(std::vector<Port> ports, nanoseconds delay, double ns_per_byte)
        : ports_(std::move(ports)), delay_(delay), ns_per_byte_(ns_per_byte) {}

    [[noreturn]] void run() {
        std::vector<pollfd> polled;
        for (const Port& port : ports_) polled.push_back({port.tap, POLLIN, 0});
        for (;;) {
            const auto next = deliver_due();
            for (std::size_t i = 0; i < ports_.size(); ++i) {
                polled[i].events = ports_[i].queue.size() < kMaxQueued ? POLLIN : 0;
            }
            const auto wait = std::max(nanoseconds(0), nanoseconds(next - Clock::now()));
            const timespec limit{static_cast<time_t>(wait.count() / 1'000'000'000),
                                 static_cast<long>(wait.count() % 1'000'000'000)};
            const bool idle = next == Clock::time_point::max();
            if (::ppoll(polled.data(), polled.size(), idle ? nullptr : &limit, nullptr) <= 0) {
                continue;
            }
            for (std::size_t i = 0; i < ports_.size(); ++i) {
                if (polled[i].revents != 0) receive(i);
            }
        }
    }

  private:
    void receive(std::size_t index) {
        Port& port = ports_[index];
        for (int i = 0; i < kBurst && port.queue.size() < kMaxQueued; ++i) {
            Frame& frame = port.queue.emplace_back();
            const auto size = ::read(port.tap, frame.bytes.data(), frame.bytes.size());
            if (size < 14) {  // nothing more, or no Ethernet frame
                port.queue.pop_back();
                return;
            }
            frame.size = static_cast<std::size_t>(size);
            const auto occupied = static_cast<std::int64_t>(
                static_cast<double>(frame.size + kFrameOverhead) * ns_per_byte_);
            port.link_free = std::max(port.link_free, Clock::now()) + nanoseconds(occupied);
            frame.due = port.link_free + delay_;
            Address from;
            std::copy_n(frame.bytes.begin() + 6, from.size(), from.begin());
            if (where_.size() < kMaxAddresses || where_.contains(from)) where_[from] = index;
        }
    }

    /// Returns when the next frame is due.
    Clock::time_point deliver_due() {
        auto next = Clock::time_point::max();
        for (std::size_t i = 0; i < ports_.size(); ++i) {
            auto& queue = ports_[i].queue;
            for (; !queue.empty() && queue.front().due <= Clock::now(); queue.pop_front()) {
                forward(i, queue.front());
            }
            if (!queue.empty()) next = std::min(next, queue.front().due);
        }
        return next;
    }

    void forward(std::size_t from, const Frame& frame) {
        Address to;
        std::copy_n(frame.bytes.begin(), to.size(), to.begin());
        const auto known = where_.find(to);
        for (std::size_t i = 0; i < ports_.size(); ++i) {
            if (i == from || (known != where_.end() && known->second != i)) continue;
            // A receiver that takes no more loses the frame, as on a real wire.
            [[maybe_unused]] const auto n = ::write(ports_[i].tap, frame.bytes.data(), frame.size);
        }
    }

    std::vector<Port> ports_;
    nanoseconds delay_;
    double ns_per_byte_;
    std::map<Address, std::size_t> where_;
};

double number(const char* text, const char* name) {
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= 1e7)) {
        throw std::runtime_error(std::string(name) + ": not a number from 0 to 10000000: " + text);
    }
    return value;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) {
        std::fprintf(stderr, "usage: lan-switch DELAY_US RATE_MBIT DEVICE NAMESPACE...\n");
        return 2;
    }
    try {
        const nanoseconds delay(static_cast<std::int64_t>(number(argv[1], "DELAY_US") * 1000));
        const double rate = number(argv[2], "RATE_MBIT");
        std::vector<Port> ports(static_cast<std::size_t>(argc - 4));
        for (int i = 4; i < argc; ++i) ports[i - 4].tap = open_tap(argv[i], argv[3]);
        // Delays are only as exact as we wake up. Both are best effort.
        const sched_param priority{.sched_priority = 50};
        ::sched_setscheduler(0, SCHED_FIFO, &priority);
        ::prctl(PR_SET_TIMERSLACK, 1);
        std::printf("ready\n");
        std::fflush(stdout);
        Switch(std::move(ports), delay, rate > 0 ? 8000 / rate : 0).run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "lan-switch: %s\n", error.what());
        return 1;
    }
}
