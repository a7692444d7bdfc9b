// What plans and requests need of models: whether this device has a file, and models to read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/model/piece.hpp"
#include "daemon/pieces/open_model.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/messages/requests.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// A model that some device of the cluster holds.
struct KnownModel {
    mesh::ModelHash hash;
    std::string name;
    std::uint64_t file_bytes = 0;
};

/// What is going on when a want's progress is 0 of 0, for a person.
inline std::string waiting_for_file(const std::string& model) {
    return "waiting for a device that has the file " + model;
}

/// Owned by the control thread. Whatever is called back is called there, and later: never before
/// the function that asks for it has returned.
class Models {
  public:
    struct Want {
        const void* owner = nullptr;  ///< who asks; for cancel()
        KnownModel model;
        bool tokenizer = false;
        /// The pieces needed, for a device without the file; by default its description alone. May
        /// throw to refuse the model. Called by another thread.
        std::function<std::vector<model::Piece>(const OpenModel& described)> pieces =
            [](const OpenModel&) { return std::vector<model::Piece>(); };
        /// Nothing comes now, with 0 of 0: no device that has the file can be asked.
        std::function<void(std::uint64_t done, std::uint64_t total)> progress =
            [](std::uint64_t, std::uint64_t) {};
        /// Called once: the model or why there is none.
        std::function<void(std::shared_ptr<const OpenModel>, std::string error)> done;
        std::uint64_t asked_at = 0;  // set by get()
    };

    virtual ~Models() = default;

    /// Says which models this device has, which files are none, and whether it still looks.
    virtual void announce(mesh::messages::Announcement& announcement) const = 0;
    /// Says where this device's files are, of models in a list.
    virtual void locate(mesh::messages::ModelsReply& list) const = 0;
    /// This device has the model's file.
    virtual bool holds(const mesh::ModelHash& hash) const = 0;
    /// Called back when the folders have been looked through as they are now; a large file that is
    /// new there is read first, which takes long.
    virtual void settle(std::function<void()> done) = 0;
    /// Take in a file of this device, wherever it lies: its hash, or why it is no usable model.
    using Added = std::function<void(const mesh::ModelHash& hash, const std::string& error)>;
    virtual void add(std::string path, Added done) = 0;

    /// From this device's file, or from other devices.
    virtual void get(Want want) = 0;
    /// Give up what an owner asked for; nothing more of it is called.
    virtual void cancel(const void* owner) noexcept = 0;

    /// Answer another device's request from this device's files.
    virtual void on_piece_request(const mesh::DeviceId& from, std::uint64_t id,
                                  const mesh::messages::PieceRequest& request) = 0;
    virtual void on_piece_reply(const mesh::DeviceId& from, std::uint64_t id,
                                mesh::messages::PieceReply reply) = 0;
};

}  // namespace shoal
