// What a sync costs: the time of one all-gather in lock-step, and of one all-to-all of as many
// bytes cut into a part for each device, beside bare TCP connections that carry the same bytes. All
// devices are threads of this process, each with its own ZeroMQ context and so its own I/O thread,
// over 127.0.0.1; or each in a network namespace of its own, over whatever joins those.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
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

constexpr int kBlock = 16, kWarmUpBlocks = 4;

[[noreturn]] void die(const std::string& what) {
    std::fprintf(stderr, "exchange_bench: %s\n", what.c_str());
    std::_Exit(1);
}

struct Options {
    int blocks = 100;
    std::optional<std::uint32_t> spin_us;  ///< nothing: as the transport likes
    std::string only;                      ///< measure the row of this name alone; empty: every row
    std::vector<std::uint32_t> ranks{2, 4};
    /// A row 2048 wide as q8_0, q16 and f32; and many.
    std::vector<std::size_t> sizes{2176, 4224, 8192, 65536};
    std::vector<std::string> hosts;  ///< "NAMESPACE=ADDRESS" of each device; none: 127.0.0.1
};
Options options;

bool wanted(const std::string& row) {
    return options.only.empty() || options.only == row;
}

std::string host_of(std::uint32_t rank) {
    if (options.hosts.empty()) return "127.0.0.1";
    const std::string& host = options.hosts.at(rank);
    return host.substr(host.find('=') + 1);
}

/// From here on, what this thread and those that it starts open belongs to the device's host.
void enter_host(std::uint32_t rank) {
    if (options.hosts.empty()) return;
    const std::string& host = options.hosts.at(rank);
    const std::string path = "/run/netns/" + host.substr(0, host.find('='));
    const int space = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (space < 0 || ::setns(space, CLONE_NEWNET) != 0) die("cannot enter " + path);
    ::close(space);
}

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

std::vector<std::span<const std::byte>> cut(std::span<const std::byte> whole, std::size_t parts) {
    std::vector<std::span<const std::byte>> cut;
    for (std::size_t i = 0; i < parts; ++i) {
        const std::size_t begin = whole.size() * i / parts;
        cut.push_back(whole.subspan(begin, whole.size() * (i + 1) / parts - begin));
    }
    return cut;
}

void print(const std::string& name, std::uint32_t ranks, const std::vector<double>& medians) {
    std::printf("%-34s %2u", name.c_str(), ranks);
    for (const double median : medians) std::printf(" %9.1f", median);
    std::printf("\n");
    std::fflush(stdout);
}

/// Every rank's thread calls join(rank), then all-gathers every size, and sends it in parts.
void run(const char* name, std::uint32_t ranks, bool pinned,
         const std::function<std::unique_ptr<Exchange>(std::uint32_t)>& join) {
    if (!wanted(name)) return;
    std::vector<double> gathers(options.sizes.size()), parts(options.sizes.size());
    std::latch finished(ranks);
    {
        std::vector<std::jthread> threads;
        for (std::uint32_t rank = 0; rank < ranks; ++rank) {
            threads.emplace_back([&, rank] {
                if (pinned) pin(rank);
                const auto exchange = join(rank);
                std::vector<std::span<const std::byte>> theirs;
                for (std::size_t i = 0; i < options.sizes.size(); ++i) {
                    const std::vector<std::byte> mine(options.sizes[i]);
                    const auto pieces = cut(mine, ranks);
                    const auto must = [&](ExchangeStatus status) {
                        if (status != ExchangeStatus::ok) die(exchange->failure().what);
                    };
                    const double gather = median_us(
                        options.blocks, [&] { must(exchange->all_gather(mine, theirs)); });
                    const double part = median_us(
                        options.blocks, [&] { must(exchange->all_to_all(pieces, theirs)); });
                    if (rank != 0) continue;
                    gathers[i] = gather;
                    parts[i] = part;
                }
                finished.arrive_and_wait();
            });
        }
    }
    print(name, ranks, gathers);
    print("  all-to-all", ranks, parts);
}

void run_memory(std::uint32_t ranks) {
    MemoryGroup group(ranks);
    run("threads in memory", ranks, true, [&](std::uint32_t rank) { return group.member(rank); });
}

void run_plane(const char* name, std::uint32_t ranks, DataTransport transport, bool encrypt,
               bool pinned) {
    if (!wanted(name)) return;
    static std::uint32_t plan_number = 0;
    const PlanId plan{{1, {}}, ++plan_number};
    JoinOptions join;
    if (options.spin_us) join.spin = std::chrono::microseconds(*options.spin_us);
    std::vector<std::unique_ptr<ZmqContext>> secure;
    std::vector<std::unique_ptr<zmq::context_t>> plain;
    std::vector<std::unique_ptr<DataPlane>> planes;
    std::vector<Peer> peers;
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
        const Identity identity = generate_identity();
        // In a thread of the device's host, whose sockets stay there.
        std::jthread([&] {
            enter_host(rank);
            ZmqContext::Options context_options;
            if (pinned) context_options.cpus = {cpu_of(rank)};
            const DataPlaneOptions plane{.bind = host_of(rank), .transport = transport};
            if (encrypt) {
                secure.push_back(std::make_unique<ZmqContext>(identity, context_options));
                planes.push_back(std::make_unique<DataPlane>(*secure.back(), plane));
            } else {
                plain.push_back(std::make_unique<zmq::context_t>(1));
                if (pinned) plain.back()->set(zmq::ctxopt::thread_affinity_cpu_add, cpu_of(rank));
                planes.push_back(std::make_unique<DataPlane>(*plain.back(), plane));
            }
        }).join();
        peers.push_back({identity.id, identity.public_key, planes[rank]->endpoint(host_of(rank))});
    }
    for (const auto& context : secure) {
        for (const Peer& peer : peers) {
            if (!context->allow(peer.public_key)) die("the allow-list is full");
        }
    }
    run(name, ranks, pinned, [&](std::uint32_t rank) {
        enter_host(rank);
        auto joined = planes[rank]->join(plan, rank, peers, join, {});
        if (!joined.exchange) die(joined.why.what);
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
        const std::vector<std::span<const std::byte>> same(size(), mine);
        return all_to_all(same, theirs);
    }
    /// For parts as run() cuts them: every device sends rank r as many bytes as rank r keeps.
    ExchangeStatus all_to_all(std::span<const std::span<const std::byte>> mine,
                              std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(mine.begin(), mine.end());
        for (std::uint32_t r = 0; r < size(); ++r) {
            for (std::size_t sent = 0; sockets_[r] >= 0 && sent < mine[r].size();) {
                const auto n =
                    ::send(sockets_[r], mine[r].data() + sent, mine[r].size() - sent, MSG_NOSIGNAL);
                if (n <= 0) return ExchangeStatus::aborted;
                sent += static_cast<std::size_t>(n);
            }
        }
        const std::size_t bytes = mine[rank_].size();
        for (std::uint32_t r = 0; r < size(); ++r) {
            if (sockets_[r] < 0) continue;
            buffers_[r].resize(bytes);
            for (std::size_t got = 0; got < bytes;) {
                const auto n = ::recv(sockets_[r], buffers_[r].data() + got, bytes - got,
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

/// Two ends of a TCP connection between the hosts of two devices.
std::pair<int, int> tcp_pair(std::uint32_t a, std::uint32_t b) {
    int listener = -1, near = -1, far = -1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, host_of(a).c_str(), &address.sin_addr);
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    std::jthread([&] {
        enter_host(a);
        listener = ::socket(AF_INET, SOCK_STREAM, 0);
        if (::bind(listener, any, length) != 0 || ::listen(listener, 1) != 0 ||
            ::getsockname(listener, any, &length) != 0) {
            die("no TCP listener");
        }
    }).join();
    std::jthread([&] {
        enter_host(b);
        near = ::socket(AF_INET, SOCK_STREAM, 0);
        if (::connect(near, any, length) != 0) die("no TCP connection");
    }).join();
    far = ::accept(listener, nullptr, nullptr);
    ::close(listener);
    const int one = 1;
    ::setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ::setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return {far, near};
}

void run_tcp(const char* name, std::uint32_t ranks, bool spin) {
    if (!wanted(name)) return;
    std::vector<std::vector<int>> sockets(ranks, std::vector<int>(ranks, -1));
    for (std::uint32_t a = 0; a < ranks; ++a) {
        for (std::uint32_t b = a + 1; b < ranks; ++b) {
            std::tie(sockets[a][b], sockets[b][a]) = tcp_pair(a, b);
        }
    }
    run(name, ranks, true, [&](std::uint32_t rank) {
        return std::make_unique<TcpExchange>(rank, sockets[rank], spin);
    });
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("What a sync costs, beside bare TCP.");
    app.add_option("--blocks", options.blocks, "blocks of 16 steps")->check(CLI::Range(1, 100000));
    app.add_option("--spin", options.spin_us, "microseconds to look before sleeping");
    app.add_option("--row", options.only, "measure this row alone");
    app.add_option("--ranks", options.ranks, "numbers of devices");
    app.add_option("--sizes", options.sizes, "bytes of a device");
    app.add_option("--hosts", options.hosts, "NAMESPACE=ADDRESS of each device");
    CLI11_PARSE(app, argc, argv);
    std::printf("One exchange, median of %d x %d, microseconds; %u CPUs\n", options.blocks, kBlock,
                std::thread::hardware_concurrency());
    std::printf("%-34s %2s", "", "n");
    for (const std::size_t size : options.sizes) std::printf(" %7zu B", size);
    std::printf("\n");
    for (const std::uint32_t ranks : options.ranks) {
        if (!options.hosts.empty() && ranks > options.hosts.size()) continue;
        run_memory(ranks);
        run_tcp("TCP, spinning", ranks, true);
        run_tcp("TCP, blocking", ranks, false);
        run_plane("ZMTP", ranks, DataTransport::zmtp, false, true);
        run_plane("ZMTP, sealed", ranks, DataTransport::zmtp, true, true);
        run_plane("libzmq", ranks, DataTransport::libzmq, false, false);
        run_plane("libzmq, beside caller", ranks, DataTransport::libzmq, false, true);
        run_plane("libzmq + CURVE", ranks, DataTransport::libzmq, true, false);
        run_plane("libzmq + CURVE, beside caller", ranks, DataTransport::libzmq, true, true);
    }
    return 0;
}
