// What a sync costs: the time of one all-gather in lock-step, beside bare TCP connections that
// carry the same bytes. All devices are threads of this process, each with its own ZeroMQ context
// and so its own I/O thread, over 127.0.0.1.
//
//   exchange_bench [BLOCKS [SPIN_US [ROW]]]
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "mesh/exchange/data_plane.hpp"
#include "mesh/exchange/memory_exchange.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace {

using namespace shoal::mesh;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kSizes[] = {2176, 8192, 65536};
constexpr int kBlock = 16, kWarmUpBlocks = 4;

/// Measure the row of this name alone; nullptr: every row.
const char* only = nullptr;

int cpu_of(std::uint32_t rank) {
    const auto cpus = std::max(1u, std::thread::hardware_concurrency());
    return static_cast<int>(rank % cpus);
}

void pin(std::uint32_t rank) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu_of(rank), &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

[[noreturn]] void die(const std::string& what) {
    std::fprintf(stderr, "exchange_bench: %s\n", what.c_str());
    std::_Exit(1);
}

/// The median time of a step in microseconds, of blocks of kBlock steps: single steps alternate
/// between short and long, as one device finds the other's frame there already and then is ahead.
double median_us(int blocks, const std::function<void()>& step) {
    std::vector<double> times;
    times.reserve(static_cast<std::size_t>(blocks));
    for (int block = -kWarmUpBlocks; block < blocks; ++block) {
        const auto start = Clock::now();
        for (int i = 0; i < kBlock; ++i) step();
        const std::chrono::duration<double, std::micro> took = Clock::now() - start;
        if (block >= 0) times.push_back(took.count() / kBlock);
    }
    const auto middle = times.begin() + blocks / 2;
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
}

/// Every rank's thread calls join(rank), then all-gathers every size.
void run(const char* name, std::uint32_t ranks, int blocks, bool pinned,
         const std::function<std::unique_ptr<Exchange>(std::uint32_t)>& join) {
    if (only != nullptr && std::strcmp(only, name) != 0) return;
    std::vector<double> medians(std::size(kSizes));
    std::latch finished(ranks);
    {
        std::vector<std::jthread> threads;
        for (std::uint32_t rank = 0; rank < ranks; ++rank) {
            threads.emplace_back([&, rank] {
                if (pinned) pin(rank);
                const auto exchange = join(rank);
                std::vector<std::span<const std::byte>> theirs;
                for (std::size_t i = 0; i < std::size(kSizes); ++i) {
                    const std::vector<std::byte> mine(kSizes[i]);
                    const double median = median_us(blocks, [&] {
                        if (exchange->all_gather(mine, theirs) != ExchangeStatus::ok) {
                            die(exchange->failure());
                        }
                    });
                    if (rank == 0) medians[i] = median;
                }
                finished.arrive_and_wait();
            });
        }
    }
    std::printf("%-34s %2u", name, ranks);
    for (const double median : medians) std::printf(" %9.1f", median);
    std::printf("\n");
    std::fflush(stdout);
}

void run_memory(std::uint32_t ranks, int blocks) {
    MemoryGroup group(ranks);
    run("threads in memory", ranks, blocks, true,
        [&](std::uint32_t rank) { return group.member(rank); });
}

void run_zmq(const char* name, std::uint32_t ranks, int blocks, bool curve, bool pinned,
             std::chrono::microseconds spin) {
    static std::uint32_t plan_number = 0;
    const PlanId plan{{1, {}}, ++plan_number};
    JoinOptions options;
    options.spin = spin;
    std::vector<std::unique_ptr<ZmqContext>> secure;
    std::vector<std::unique_ptr<zmq::context_t>> plain;
    std::vector<std::unique_ptr<DataPlane>> planes;
    std::vector<Peer> peers;
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
        const Identity identity = generate_identity();
        ZmqContext::Options context_options;
        if (pinned) context_options.cpus = {cpu_of(rank)};
        if (curve) {
            secure.push_back(std::make_unique<ZmqContext>(identity, context_options));
            planes.push_back(std::make_unique<DataPlane>(*secure.back(), DataPlaneOptions{}));
        } else {
            plain.push_back(std::make_unique<zmq::context_t>(1));
            if (pinned) plain.back()->set(zmq::ctxopt::thread_affinity_cpu_add, cpu_of(rank));
            planes.push_back(
                std::make_unique<DataPlane>(*plain.back(), DataPlaneOptions{"127.0.0.1"}));
        }
        peers.push_back({identity.id, identity.public_key, planes.back()->endpoint("127.0.0.1")});
    }
    for (const auto& context : secure) {
        for (const Peer& peer : peers) {
            if (!context->allow(peer.public_key)) die("the allow-list is full");
        }
    }
    run(name, ranks, blocks, pinned, [&](std::uint32_t rank) {
        auto joined = planes[rank]->join(plan, rank, peers, options, {});
        if (!joined.exchange) die(joined.why);
        return std::move(joined.exchange);
    });
}

/// A mesh of plain TCP connections: what the kernel alone takes.
class TcpExchange final : public Exchange {
  public:
    TcpExchange(std::uint32_t rank, std::vector<int> sockets, bool spin)
        : rank_(rank), sockets_(std::move(sockets)), buffers_(sockets_.size()), spin_(spin) {}
    ~TcpExchange() override {
        for (const int s : sockets_) {
            if (s >= 0) ::close(s);
        }
    }
    std::uint32_t rank() const noexcept override { return rank_; }
    std::uint32_t size() const noexcept override {
        return static_cast<std::uint32_t>(sockets_.size());
    }
    ExchangeStatus all_gather(std::span<const std::byte> mine,
                              std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(size(), mine);
        for (const int s : sockets_) {
            for (std::size_t sent = 0; s >= 0 && sent < mine.size();) {
                const auto n = ::send(s, mine.data() + sent, mine.size() - sent, MSG_NOSIGNAL);
                if (n <= 0) return ExchangeStatus::aborted;
                sent += static_cast<std::size_t>(n);
            }
        }
        for (std::uint32_t r = 0; r < size(); ++r) {
            if (sockets_[r] < 0) continue;
            buffers_[r].resize(mine.size());
            for (std::size_t got = 0; got < mine.size();) {
                const auto n = ::recv(sockets_[r], buffers_[r].data() + got, mine.size() - got,
                                      spin_ ? MSG_DONTWAIT : 0);
                if (n < 0 && errno == EAGAIN) continue;
                if (n <= 0) return ExchangeStatus::aborted;
                got += static_cast<std::size_t>(n);
            }
            theirs[r] = buffers_[r];
        }
        return ExchangeStatus::ok;
    }
    ExchangeStatus broadcast(std::uint32_t, std::span<const std::byte>,
                             std::span<const std::byte>&) override {
        return ExchangeStatus::aborted;
    }
    ExchangeStatus gather(std::uint32_t, std::span<const std::byte>,
                          std::vector<std::span<const std::byte>>&) override {
        return ExchangeStatus::aborted;
    }

  private:
    std::uint32_t rank_;
    std::vector<int> sockets_;
    std::vector<std::vector<std::byte>> buffers_;
    bool spin_;
};

/// Two ends of a TCP connection over 127.0.0.1.
std::pair<int, int> tcp_pair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    const int near = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::bind(listener, any, length) != 0 || ::listen(listener, 1) != 0 ||
        ::getsockname(listener, any, &length) != 0 || ::connect(near, any, length) != 0) {
        die("no TCP connection");
    }
    const int far = ::accept(listener, nullptr, nullptr);
    ::close(listener);
    const int one = 1;
    ::setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ::setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return {near, far};
}

void run_tcp(const char* name, std::uint32_t ranks, int blocks, bool spin) {
    std::vector<std::vector<int>> sockets(ranks, std::vector<int>(ranks, -1));
    for (std::uint32_t a = 0; a < ranks; ++a) {
        for (std::uint32_t b = a + 1; b < ranks; ++b) {
            std::tie(sockets[a][b], sockets[b][a]) = tcp_pair();
        }
    }
    run(name, ranks, blocks, true, [&](std::uint32_t rank) {
        return std::make_unique<TcpExchange>(rank, sockets[rank], spin);
    });
}

}  // namespace

int main(int argc, char** argv) {
    const int blocks = argc > 1 ? std::atoi(argv[1]) : 100;
    const std::chrono::microseconds spin(argc > 2 ? std::atoi(argv[2]) : 0);
    only = argc > 3 ? argv[3] : nullptr;
    if (blocks < 1 || spin.count() < 0 || argc > 4) {
        die("usage: exchange_bench [BLOCKS [SPIN_US [ROW]]]");
    }
    std::printf("One all-gather, median of %d x %d, microseconds; %u CPUs\n", blocks, kBlock,
                std::thread::hardware_concurrency());
    std::printf("%-34s %2s %7zu B %7zu B %7zu B\n", "", "n", kSizes[0], kSizes[1], kSizes[2]);
    for (const std::uint32_t ranks : {2u, 4u}) {
        run_memory(ranks, blocks);
        if (ranks == 2) run_tcp("TCP, spinning", ranks, blocks, true);
        run_tcp("TCP, blocking", ranks, blocks, false);
        run_zmq("ZeroMQ", ranks, blocks, false, false, spin);
        run_zmq("ZeroMQ, beside caller", ranks, blocks, false, true, spin);
        run_zmq("ZeroMQ + CURVE", ranks, blocks, true, false, spin);
        run_zmq("ZeroMQ + CURVE, beside caller", ranks, blocks, true, true, spin);
    }
    return 0;
}
