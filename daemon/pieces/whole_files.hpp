// Files of models that come whole from other devices, and are given to them: what the deciding side
// sees of the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon/pieces/models.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// One file of a model; most have one.
struct FilePart {
    std::uint32_t number = 1;  ///< 1 is the first
    std::uint32_t parts = 1;
    std::uint64_t total = 0;  ///< its bytes
};

/// Why a file does not come any further.
struct FileTrouble {
    std::string text;      ///< for a person; empty: there is none
    bool lasting = false;  ///< later it will be the same
    bool removed = false;  ///< somebody did not want it any more
    explicit operator bool() const noexcept { return !text.empty(); }
};

/// Owned by the control thread. Whatever is called back is called there, and later. One model comes
/// at a time: begin() of its first part, and of each further one when the part before is whole,
/// write() of its bytes in order, and finish(). One call at a time.
class WholeFiles {
  public:
    /// `here`: so many bytes of the part have come.
    using Done = std::function<void(std::uint64_t here, const FileTrouble&)>;

    virtual ~WholeFiles() = default;

    /// Models of which a part has come, also before this daemon started.
    virtual std::vector<mesh::ModelHash> begun() const = 0;
    /// Goes on with what is here of it, which is read and checked.
    virtual void begin(const KnownModel& model, const FilePart& part, Done done) = 0;
    virtual void write(std::uint64_t offset, std::vector<std::byte> bytes, Done done) = 0;
    /// All parts are here: when they are the model, they take their names in the folder of models.
    virtual void finish(Done done) = 0;
    /// Leaves the model for now. What was called before may still be answered.
    virtual void leave() = 0;
    /// While the device has something better to do what is here is not read on.
    virtual void pause(bool busy) = 0;

    /// Of a file that this device has.
    virtual void read(const mesh::messages::FileRequest& request,
                      std::function<void(mesh::messages::FileReply)> done) = 0;
};

}  // namespace shoal
