// Files of models from the web, over HTTP with libcurl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::cli {

/// True for what begins as a web address does, or as a file's name at Hugging Face: hf.co/...
bool is_address(std::string_view text) noexcept;

/// One file of a model on the web.
struct WebFile {
    std::string address;
    std::string name;  ///< that it gets here: "llama.gguf"
};
/// All files of the model that an address is of: those of a split model, by the names that all of
/// them have. A hub's page about a file (/OWNER/REPOSITORY/blob/REVISION/FILE) stands for the file,
/// and so does hf.co/OWNER/REPOSITORY/FILE. Throws Error(kUsage) when it is no GGUF file's.
std::vector<WebFile> files_at(const std::string& what);

class WebTransfer;

/// Owned by one thread.
class Download {
  public:
    /// Told as bytes come; `total` is 0 while it is not known. May throw to stop.
    using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

    /// `sha256`: 64 hexadecimal digits that the file must have; empty: those that the server tells,
    /// if it does. Throws Error when nothing can be written to the folder, or another process
    /// downloads the same.
    Download(WebFile file, const std::filesystem::path& folder, std::string sha256);
    ~Download();
    Download(const Download&) = delete;
    Download& operator=(const Download&) = delete;

    const std::string& name() const noexcept { return file_.name; }
    /// Where the file is, or as much of it as has come: under a name of its own in the folder,
    /// where the next download of the same address finds it and goes on, whenever that is.
    const std::filesystem::path& path() const noexcept { return path_; }

    /// Gets all of it, anew when the server has another file by now. Connections that end early are
    /// made again as long as bytes come. Throws Error with what to do.
    void run(const Progress& progress);
    /// The file was taken away; nothing else of it stays.
    void forget() noexcept;

  private:
    [[noreturn]] void fail(const std::string& what) const;
    std::uint64_t have() const noexcept;
    void restart();
    bool attempt(const Progress& progress);
    void check(const WebTransfer& transfer);

    const WebFile file_;
    const std::filesystem::path path_, validator_path_;
    std::string sha256_;
    std::string last_error_;
    int out_ = -1;
};

}  // namespace shoal::cli
