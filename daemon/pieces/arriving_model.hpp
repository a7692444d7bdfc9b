// A model's files on the disk while they come from another device.
#pragma once

#include <sodium.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <span>

#include "daemon/model/stable_file.hpp"
#include "daemon/pieces/piece_file.hpp"
#include "daemon/pieces/whole_files.hpp"

namespace shoal {

/// The disk does not take it now, and may later.
class NotNow : public model::ModelError {
  public:
    using ModelError::ModelError;
};

/// Somebody removed what had come.
class Removed : public model::ModelError {
  public:
    using ModelError::ModelError;
};

/// Files of a model that come in order, each from its beginning on in chunks of piece_file::kChunk
/// bytes, under hidden names in a folder of models (model::arriving_name). Behind the content, as
/// in files of pieces, stands a hash of each chunk, so that a next begin() goes on behind the last
/// good one, whatever ended the one before. The hash of all is computed on the way. Everything
/// throws NotNow, or model::ModelError when it would be the same later, with a text for a person.
/// Owned by one thread, which it has wait for the disk.
class ArrivingModel {
  public:
    /// So much of the disk stays free, or a tenth of it where that is more.
    static constexpr std::uint64_t kRoomLeft = std::uint64_t{1} << 30;

    ArrivingModel(const std::filesystem::path& folder, KnownModel model);
    ~ArrivingModel();
    ArrivingModel(const ArrivingModel&) = delete;
    ArrivingModel& operator=(const ArrivingModel&) = delete;

    const KnownModel& model() const noexcept { return model_; }
    /// Asked before each chunk that is read, and may wait; false: no further.
    using GoOn = std::function<bool()>;
    /// The bytes of this part that are here and good. Takes its room on the disk, and when that
    /// fails leaves nothing that was not there before.
    std::uint64_t begin(const FilePart& part, const GoOn& go_on = {});
    /// The next bytes of the part begun last: a chunk, or what is left. The bytes here then.
    std::uint64_t write(std::uint64_t offset, std::span<const std::byte> bytes);
    /// Gives the files their names, if together they are the model; else removes them. Before they
    /// have them `known` is told the first one's path and the stamp of all. The first one's path.
    using Known = std::function<void(const std::filesystem::path&, const model::FileStamp&)>;
    std::filesystem::path finish(const Known& known = {});

  private:
    struct Part {
        std::filesystem::path hidden, path;
        std::uint64_t total = 0, here = 0;
        int fd = -1;
        bool named = false;    // it has its name already
        bool created = false;  // by this object
    };

    void open(Part& part, std::uint32_t number) const;
    void read_here(Part& part, std::uint32_t number, const GoOn& go_on);
    void take_room(const Part& part) const;
    piece_file::Hash hash(std::uint32_t number, std::uint64_t offset,
                          std::span<const std::byte> chunk) const noexcept;
    void add(Part& part, std::span<const std::byte> chunk) noexcept;
    void discard() noexcept;

    const std::filesystem::path folder_;
    const KnownModel model_;
    std::list<Part> parts_;  // begun so far
    std::uint32_t count_ = 0;
    std::uint64_t bytes_ = 0;  // of the parts begun so far
    crypto_generichash_state all_;
};

}  // namespace shoal
