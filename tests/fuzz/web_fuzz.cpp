// What a web server answers a download: whatever it says, the file has the bytes that are told, and
// none of another file behind those that were there.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/web_transfer.hpp"

using shoal::cli::WebTransfer;

namespace {

void check(bool fact) {
    if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    const std::uint64_t have = rest.empty() ? 0 : data[0];
    const int file = memfd_create("web", MFD_CLOEXEC);
    check(file >= 0 && ftruncate(file, static_cast<off_t>(have)) == 0);
    bool begun = false;
    WebTransfer transfer(file, have, "/",
                         {[](std::uint64_t, std::uint64_t) {},
                          [&](const std::string& validator) {
                              begun = true;
                              check(validator.size() <= 1024);
                          }});
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n') + 1);
        rest.remove_prefix(line.empty() ? rest.size() : line.size());
        if (line.size() <= 1) break;
        transfer.header(line);
    }
    std::uint64_t written = 0;
    constexpr std::size_t kPart = 100;
    while (!rest.empty() && transfer.body(rest.substr(0, kPart))) {
        written += std::min(kPart, rest.size());
        rest.remove_prefix(std::min(kPart, rest.size()));
    }
    check(!transfer.thrown());
    check(static_cast<std::uint64_t>(lseek(file, 0, SEEK_END)) == transfer.bytes());
    if (written != 0) check(transfer.bytes() == written + (begun ? 0 : have));
    check(transfer.sha256().empty() || shoal::cli::is_sha256(transfer.sha256()));
    close(file);
    return 0;
}
