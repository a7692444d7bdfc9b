#include "cli/web_transfer.hpp"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "cli/terminal.hpp"

namespace shoal::cli {
namespace {

constexpr std::size_t kMaxValue = 1024;
constexpr std::size_t kShaDigits = 64;
constexpr long kWhole = 200;
constexpr long kRest = 206;

std::string lower_case(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
}

template <typename Number>
bool read_number(std::string_view text, Number& out) noexcept {
    return std::from_chars(text.data(), text.data() + text.size(), out).ec == std::errc();
}

}  // namespace

bool is_sha256(std::string_view text) noexcept {
    return text.size() == kShaDigits &&
           text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

WebTransfer::WebTransfer(int file, std::uint64_t have, std::filesystem::path folder,
                         Callbacks callbacks)
    : file_(file), folder_(std::move(folder)), callbacks_(std::move(callbacks)), at_(have) {}

void WebTransfer::header(std::string_view line) noexcept try {
    if (line.starts_with("HTTP/")) {
        status_ = 0;
        const std::size_t space = line.find(' ');
        if (space != std::string_view::npos) read_number(line.substr(space + 1), status_);
        total_ = 0;
        from_.reset();
        etag_.clear();
        modified_.clear();
        return;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    std::string_view value = line.substr(colon + 1);
    constexpr std::string_view kSpace = " \t\r\n";
    value.remove_prefix(std::min(value.find_first_not_of(kSpace), value.size()));
    value = value.substr(0, value.find_last_not_of(kSpace) + 1);
    if (value.size() <= kMaxValue) take_field(lower_case(line.substr(0, colon)), value);
} catch (...) {
    thrown_ = std::current_exception();
}

void WebTransfer::take_field(const std::string& name, std::string_view value) {
    constexpr std::string_view kBytes = "bytes ";
    if (name == "content-length" && status_ == kWhole) {
        read_number(value, total_);
    } else if (name == "content-range" && value.starts_with(kBytes)) {
        // "bytes 1000-1999/2000"
        std::uint64_t first = 0;
        if (read_number(value.substr(kBytes.size()), first)) from_ = first;
        read_number(value.substr(value.find('/') + 1), total_);
    } else if (name == "etag" && !value.starts_with("W/")) {
        etag_ = value;
    } else if (name == "last-modified") {
        modified_ = value;
    } else if (name == "x-linked-etag" && value.size() > 2 &&
               is_sha256(value.substr(1, value.size() - 2))) {
        // Of a hub's response that leads to where the file is.
        sha256_ = lower_case(value.substr(1, value.size() - 2));
    }
}

bool WebTransfer::body(std::string_view bytes) noexcept {
    try {
        if (!std::exchange(begun_, true)) begin(bytes);
        if (why_.empty()) write(bytes);
    } catch (...) {
        thrown_ = std::current_exception();
    }
    return why_.empty() && !thrown_;
}

bool WebTransfer::tell() noexcept {
    try {
        callbacks_.progress(at_, total_);
    } catch (...) {
        thrown_ = std::current_exception();
    }
    return !thrown_;
}

void WebTransfer::begin(std::string_view bytes) {
    if (status_ == kRest && from_ == at_) return look_for_room();
    if (status_ == kRest) {
        why_ = "the server sends another part than was asked for";
        return;
    }
    // All of it: it is another file than it was, or the server knows no parts.
    if (::ftruncate(file_, 0) != 0) {
        why_ = std::strerror(errno);
        return;
    }
    at_ = 0;
    constexpr std::string_view kMagic = "GGUF";
    if (!kMagic.starts_with(bytes.substr(0, kMagic.size()))) {
        why_ =
            "what comes is no GGUF file, but perhaps a page about it; give the address of the file "
            "itself";
        return;
    }
    callbacks_.begins(etag_.empty() ? modified_ : etag_);
    look_for_room();
}

void WebTransfer::look_for_room() {
    struct statvfs room {};
    if (total_ <= at_ || ::statvfs(folder_.c_str(), &room) != 0) return;
    const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
    if (total_ - at_ <= free) return;
    why_ = fmt::format("{} are still to come, and {} has room for {}", bytes_text(total_ - at_),
                       one_line(folder_.string()), bytes_text(free));
}

void WebTransfer::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(at_));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            why_ = fmt::format("cannot be written: {}", std::strerror(errno));
            return;
        }
        at_ += static_cast<std::uint64_t>(n);
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

}  // namespace shoal::cli
