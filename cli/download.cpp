#include "cli/download.hpp"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <thread>
#include <utility>

#include "cli/exit_codes.hpp"
#include "cli/hub_name.hpp"
#include "cli/terminal.hpp"
#include "cli/web_transfer.hpp"
#include "daemon/model/split.hpp"
#include "mesh/disk/whole_file.hpp"

namespace shoal::cli {
namespace {

namespace fs = std::filesystem;

constexpr long kMaxRedirects = 8;
constexpr long kConnectSeconds = 30;
/// A connection on which nothing comes for so long is made again.
constexpr long kSilentSeconds = 30;
/// Attempts in a row that bring nothing; the pauses between them are 1, 2, 4 s ...
constexpr int kMaxFruitless = 5;
constexpr std::size_t kMaxAddress = 4096;
constexpr std::size_t kMaxName = 200;
constexpr std::size_t kMaxValidator = 1024;
constexpr std::size_t kHashBytes = std::size_t{4} << 20;
/// Not a name of a model, so that no daemon reads it.
constexpr const char* kUnfinished = ".shoal-get-";
constexpr mode_t kMode = 0664;

std::string hex(std::span<const unsigned char> bytes) {
    std::string out;
    for (const unsigned char byte : bytes) out += fmt::format("{:02x}", byte);
    return out;
}

/// The same for the same address.
fs::path part_path(const fs::path& folder, const std::string& address) {
    std::array<unsigned char, 16> digest{};
    crypto_generichash(digest.data(), digest.size(),
                       reinterpret_cast<const unsigned char*>(address.data()), address.size(),
                       nullptr, 0);
    return folder / (kUnfinished + hex(digest));
}

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

std::string part_of(const Url& url, CURLUPart part, unsigned flags = 0) {
    char* text = nullptr;
    if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return "";
    std::string out(text);
    curl_free(text);
    return out;
}

/// "/owner/repository/blob/main/file" -> "/owner/repository/resolve/main/file"
std::string file_of_page(std::string path) {
    std::size_t at = 0;
    for (int names = 0; names < 2 && at != std::string::npos; ++names) at = path.find('/', at + 1);
    constexpr std::string_view kPage = "/blob/";
    if (at != std::string::npos && path.compare(at, kPage.size(), kPage) == 0) {
        path.replace(at, kPage.size(), "/resolve/");
    }
    return path;
}

std::string read_text_of(const fs::path& path) {
    std::string text(kMaxValidator, '\0');
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return "";
    const ssize_t bytes = ::read(file, text.data(), text.size());
    ::close(file);
    text.resize(bytes < 0 ? 0 : static_cast<std::size_t>(bytes));
    // It goes into a header.
    return text.find_first_of("\r\n") == std::string::npos ? text : "";
}

/// What trying again would not mend of an attempt; empty: it may.
std::string hopeless(CURLcode code, long status) {
    constexpr long kTooEarly = 425, kTooMany = 429, kTimeout = 408, kNoSuchRange = 416;
    if (status == 401 || status == 403) {
        return fmt::format(
            "the server does not give it to everybody (HTTP {}); download it where "
            "you have logged in, and add the file",
            status);
    }
    if (status == 404 || status == 410) {
        return fmt::format("there is no such file (HTTP {})", status);
    }
    if (status >= 400 && status < 500 && status != kTimeout && status != kNoSuchRange &&
        status != kTooEarly && status != kTooMany) {
        return fmt::format("the server refuses it (HTTP {})", status);
    }
    switch (code) {
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_URL_MALFORMAT:
        case CURLE_TOO_MANY_REDIRECTS:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_COULDNT_RESOLVE_HOST:
            return curl_easy_strerror(code);
        default:
            return "";
    }
}

/// A request for what follows `have` bytes, of the file that `validator` names.
class WebRequest {
  public:
    WebRequest(const std::string& address, std::uint64_t have, const std::string& validator) {
        if (handle_ == nullptr) throw Error(kFailed, "libcurl cannot be used");
        set(CURLOPT_URL, address.c_str());
        set(CURLOPT_FOLLOWLOCATION, 1L);
        set(CURLOPT_MAXREDIRS, kMaxRedirects);
        set(CURLOPT_PROTOCOLS_STR, "http,https");
        // What began encrypted stays so.
        set(CURLOPT_REDIR_PROTOCOLS_STR, address.starts_with("https:") ? "https" : "http,https");
        set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
        set(CURLOPT_LOW_SPEED_LIMIT, 1L);
        set(CURLOPT_LOW_SPEED_TIME, kSilentSeconds);
        set(CURLOPT_FAILONERROR, 1L);
        set(CURLOPT_NOSIGNAL, 1L);
        set(CURLOPT_USERAGENT, "shoal");
        if (have == 0) return;
        set(CURLOPT_RANGE, fmt::format("{}-", have).c_str());
        headers_ = curl_slist_append(nullptr, ("If-Range: " + validator).c_str());
        set(CURLOPT_HTTPHEADER, headers_);
    }
    ~WebRequest() {
        curl_slist_free_all(headers_);
        curl_easy_cleanup(handle_);
    }
    WebRequest(const WebRequest&) = delete;
    WebRequest& operator=(const WebRequest&) = delete;

    CURLcode run(WebTransfer& transfer) {
        using Callback = std::size_t (*)(char*, std::size_t, std::size_t, void*);
        const Callback header = [](char* data, std::size_t, std::size_t bytes, void* self) {
            static_cast<WebTransfer*>(self)->header({data, bytes});
            return bytes;
        };
        const Callback body = [](char* data, std::size_t, std::size_t bytes, void* self) {
            return static_cast<WebTransfer*>(self)->body({data, bytes}) ? bytes : std::size_t{0};
        };
        const curl_xferinfo_callback progress = [](void* self, curl_off_t, curl_off_t, curl_off_t,
                                                   curl_off_t) {
            return static_cast<WebTransfer*>(self)->tell() ? 0 : 1;
        };
        set(CURLOPT_HEADERFUNCTION, header);
        set(CURLOPT_HEADERDATA, &transfer);
        set(CURLOPT_WRITEFUNCTION, body);
        set(CURLOPT_WRITEDATA, &transfer);
        set(CURLOPT_NOPROGRESS, 0L);
        set(CURLOPT_XFERINFOFUNCTION, progress);
        set(CURLOPT_XFERINFODATA, &transfer);
        return curl_easy_perform(handle_);
    }

  private:
    template <typename T>
    void set(CURLoption option, T value) {
        curl_easy_setopt(handle_, option, value);
    }

    CURL* handle_ = curl_easy_init();
    curl_slist* headers_ = nullptr;
};

}  // namespace

bool is_address(std::string_view text) noexcept {
    return text.starts_with("https://") || text.starts_with("http://") || is_hub_name(text);
}

std::vector<WebFile> files_at(const std::string& what) {
    const std::string address = is_hub_name(what) ? hub_address(what) : what;
    const auto refuse = [&](const char* why) {
        throw Error(kUsage, fmt::format("{}: {}", one_line(address), why));
    };
    const Url url(curl_url(), curl_url_cleanup);
    if (address.size() > kMaxAddress || !is_address(address) ||
        curl_url_set(url.get(), CURLUPART_URL, address.c_str(), 0) != CURLUE_OK) {
        refuse("this is no address that begins with https:// or http://");
    }
    curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
    const std::string path = file_of_page(part_of(url, CURLUPART_PATH));
    curl_url_set(url.get(), CURLUPART_PATH, path.c_str(), 0);
    // Parts differ in digits, which are the same in addresses.
    const std::size_t last = path.rfind('/') + 1;
    const std::string decoded = part_of(url, CURLUPART_PATH, CURLU_URLDECODE);
    const std::string name = decoded.substr(decoded.rfind('/') + 1);
    const bool plain = std::none_of(name.begin(), name.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    });
    if (!name.ends_with(".gguf") || name.starts_with('.') || !plain || name.size() > kMaxName) {
        refuse("this is not the address of a file whose name ends with .gguf");
    }
    const auto split = model::split_name(name);
    const auto in_address = model::split_name(path.substr(last));
    if (!split || !in_address) return {{part_of(url, CURLUPART_URL), name}};
    if (split->parts > model::kMaxParts) refuse("a model of so many parts cannot be read");
    std::vector<WebFile> files;
    for (std::uint32_t part = 1; part <= split->parts; ++part) {
        const std::string its = path.substr(0, last) + in_address->file(part);
        curl_url_set(url.get(), CURLUPART_PATH, its.c_str(), 0);
        files.push_back({part_of(url, CURLUPART_URL), split->file(part)});
    }
    return files;
}

Download::Download(WebFile file, const fs::path& folder, std::string sha256)
    : file_(std::move(file)),
      path_(part_path(folder, file_.address)),
      validator_path_(path_.string() + ".of"),
      sha256_(std::move(sha256)) {
    if (!sha256_.empty() && !is_sha256(sha256_)) {
        throw Error(kUsage, "a SHA-256 has 64 hexadecimal digits");
    }
    std::ranges::transform(sha256_, sha256_.begin(), [](char c) {
        return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    out_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kMode);
    if (out_ < 0) {
        throw Error(kFailed, fmt::format("{}: a file cannot be made there: {}",
                                         one_line(folder.string()), std::strerror(errno)));
    }
    if (::flock(out_, LOCK_EX | LOCK_NB) != 0) {
        ::close(out_);
        throw Error(kBusy, fmt::format("{}: is being downloaded already", one_line(file_.address)));
    }
}

Download::~Download() {
    ::close(out_);
}

void Download::fail(const std::string& what) const {
    throw Error(kFailed, fmt::format("{}: {}", one_line(file_.address), what));
}

void Download::run(const Progress& progress) {
    for (int fruitless = 0; fruitless < kMaxFruitless;) {
        const std::uint64_t before = have();
        if (attempt(progress)) return;
        fruitless = have() > before ? 0 : fruitless + 1;
        // While it waits the user may stop it.
        const auto end = std::chrono::steady_clock::now() +
                         std::chrono::seconds(fruitless == 0 ? 0 : 1 << (fruitless - 1));
        while (std::chrono::steady_clock::now() < end) {
            progress(have(), 0);
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }
    fail(fmt::format("{}; what has come is kept, and the same command goes on from there",
                     last_error_));
}

std::uint64_t Download::have() const noexcept {
    const off_t end = ::lseek(out_, 0, SEEK_END);
    return end < 0 ? 0 : static_cast<std::uint64_t>(end);
}

void Download::restart() {
    if (::ftruncate(out_, 0) != 0) fail(std::strerror(errno));
}

// True when all of it is there.
bool Download::attempt(const Progress& progress) {
    const std::string validator = read_text_of(validator_path_);
    // Without a name for what it is the rest may be of another file.
    if (validator.empty()) restart();
    WebTransfer transfer(out_, have(), path_.parent_path(),
                         {progress, [this](const std::string& of) {
                              disk::replace_file(validator_path_, of, kMode);
                          }});
    WebRequest request(file_.address, have(), validator);
    const CURLcode code = request.run(transfer);
    if (transfer.thrown()) std::rethrow_exception(transfer.thrown());
    if (!transfer.why().empty()) fail(transfer.why());
    constexpr long kNoSuchRange = 416;
    if (transfer.status() == kNoSuchRange && transfer.total() == have() && have() != 0) {
        check(transfer);  // All of it had come.
        return true;
    }
    if (const std::string why = hopeless(code, transfer.status()); !why.empty()) fail(why);
    if (transfer.status() == kNoSuchRange) restart();
    if (code == CURLE_OK && (transfer.total() == 0 || transfer.total() == transfer.bytes())) {
        check(transfer);
        return true;
    }
    last_error_ = code == CURLE_OK ? "the connection ended early" : curl_easy_strerror(code);
    return false;
}

void Download::check(const WebTransfer& transfer) {
    if (::fsync(out_) != 0) fail(fmt::format("cannot be written: {}", std::strerror(errno)));
    const std::string& wanted = sha256_.empty() ? transfer.sha256() : sha256_;
    if (wanted.empty()) return;
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    std::vector<unsigned char> buffer(kHashBytes);
    for (off_t at = 0;;) {
        const ssize_t n = ::pread(out_, buffer.data(), buffer.size(), at);
        if (n < 0) fail(fmt::format("cannot be read again: {}", std::strerror(errno)));
        if (n == 0) break;
        crypto_hash_sha256_update(&state, buffer.data(), static_cast<std::uint64_t>(n));
        at += n;
    }
    std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
    crypto_hash_sha256_final(&state, digest.data());
    if (hex(digest) == wanted) return;
    restart();
    fail(
        fmt::format("its SHA-256 is {} and should be {}; it was damaged on its way, or is another "
                    "file",
                    hex(digest), wanted));
}

void Download::forget() noexcept {
    ::unlink(validator_path_.c_str());
}

}  // namespace shoal::cli
