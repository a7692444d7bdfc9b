// Blocks of KV caches as files of one folder, which outlive plans and the daemon.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/engine/plan_spec.hpp"
#include "daemon/exec/kv_disk.hpp"
#include "daemon/loop/worker.hpp"

namespace shoal {

/// A file is a block and a hash of it, keyed by the file's name; what does not match is removed. So
/// nothing has to be flushed, and no other file can be taken for it. The least recently used go
/// when the folder would hold more than it may. Owned by the engine's thread. A thread of its own
/// is at the disk, and is not waited for beyond Options::patience: then the folder is not used any
/// more. Trouble is logged, once until something succeeds.
class KvFiles {
  public:
    struct Options {
        std::filesystem::path folder;                  ///< made if it is missing; nobody else's
        std::uint64_t bytes = 0;                       ///< of all files, at most
        std::uint64_t spare = std::uint64_t{1} << 30;  ///< of the disk, which stay free
        std::chrono::milliseconds patience{2000};      ///< for the disk
    };
    /// Of a file: what it holds, and by which slice it was computed.
    using Name = std::array<std::uint8_t, 32>;

    explicit KvFiles(Options options);
    ~KvFiles();

    /// The folder was looked through, and can be used.
    bool ready();
    /// False when its disk turned out to be of no use.
    bool usable();
    /// Files at most, in bytes.
    std::uint64_t limit() const noexcept { return options_.bytes; }
    /// Nothing before ready().
    bool holds(const Name& name);
    /// Counts as used now, as the block `number` of its text: of one text the end goes first.
    void use(const Name& name, std::uint32_t number) noexcept;
    void forget(const Name& name);

    /// Both: how many they are done with, from the first on; that is the text's block `first`.
    /// Blocks are of one size.
    std::uint32_t write(std::uint32_t first, std::span<const Name> names,
                        std::span<const std::span<std::byte>> blocks);
    std::uint32_t read(std::uint32_t first, std::span<const Name> names,
                       std::span<const std::span<std::byte>> blocks);

  private:
    using Time = std::filesystem::file_time_type;
    struct File {
        std::uint64_t bytes = 0;
        Time used;
    };
    struct Found {
        std::map<Name, File> files;
        std::string error;
    };
    struct Work;

    static Found look_through(const std::filesystem::path& folder);
    static Time used_now(std::uint32_t number) noexcept;
    bool carry_out(const std::shared_ptr<Work>& work);
    std::filesystem::path path(const Name& name) const;
    void remove_later(const std::filesystem::path& path);
    void drop(std::map<Name, File>::iterator file);
    std::vector<std::filesystem::path> make_room(std::uint64_t bytes);
    void complain(const std::string& error);

    const Options options_;
    std::future<Found> looking_;
    std::map<Name, File> files_;
    std::uint64_t bytes_ = 0;  // of files_
    bool usable_ = true;
    bool complained_ = false;
    Worker worker_{"kv-files"};
};

/// The files of one slice. Owned by the engine's thread; `files` outlives it.
class SliceFiles final : public exec::KvDisk {
  public:
    SliceFiles(KvFiles& files, const KvFiles::Name& slice) : files_(files), slice_(slice) {}

    bool holds(const exec::BlockName& block) { return files_.holds(name(block)); }
    void use(const exec::BlockName& block, std::uint32_t number) noexcept {
        files_.use(name(block), number);
    }
    void forget(const exec::BlockName& block) { files_.forget(name(block)); }
    std::uint64_t limit() const noexcept { return files_.limit(); }

    std::uint32_t write(std::uint32_t first, std::span<const exec::BlockName> names,
                        std::span<const std::span<std::byte>> blocks) override;
    std::uint32_t read(std::uint32_t first, std::span<const exec::BlockName> names,
                       std::span<const std::span<std::byte>> blocks) override;

  private:
    KvFiles::Name name(const exec::BlockName& block) const noexcept;
    std::vector<KvFiles::Name> names(std::span<const exec::BlockName> blocks) const;

    KvFiles& files_;
    const KvFiles::Name slice_;
};

/// All that the numbers of a device's blocks depend on beside the tokens: model, cut, forms, and
/// the program that computes them, by `cpu` (kernels::Table::name) and `version`.
KvFiles::Name slice_name(const PlanSpec& spec, std::string_view cpu, std::string_view version);

/// Names of the first `count` blocks of a text. Each hashes the one before it. Two texts have one
/// in common as far as common_rows() says. Requires: as many tokens.
std::vector<exec::BlockName> block_names(std::span<const std::int32_t> tokens,
                                         std::uint32_t shared_until, std::size_t count);

}  // namespace shoal
