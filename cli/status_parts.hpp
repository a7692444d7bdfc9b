// Parts of a status as text, for `shoal status` and its live form.
#pragma once

#include <string>

#include "cli/terminal.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// A device's name, with its id where another has the same name, as two cards written from one
/// image have.
std::string name_of(const mesh::messages::StatusReply& status,
                    const mesh::messages::DeviceInfo& device);
/// The same by its id.
std::string name_of(const mesh::messages::StatusReply& status, const std::string& id);

/// "ready", "loading 17 %", "lost 12 s ago"
std::string state_text(const mesh::messages::DeviceInfo& device, const Terminal& terminal);
/// "5.0 GiB of 8.0 GiB"; empty: not known
std::string memory_text(const mesh::messages::DeviceInfo& device);
/// "0.31 ms", "here"
std::string link_text(const mesh::messages::DeviceInfo& device);

/// Lines without their ends: "Cluster  3f2a-91c0-77de, 2 devices, ..."
std::string cluster_line(const mesh::messages::StatusReply& status);
std::string model_line(const mesh::messages::StatusReply& status);
/// Models that wait in memory; empty: none does.
std::string memory_line(const mesh::messages::StatusReply& status);
std::string work_line(const mesh::messages::StatusReply& status);
/// What the links were measured to do, all together; empty while none was.
std::string links_line(const mesh::messages::StatusReply& status);

/// Each warning on lines of its own, and what to do on the next.
std::string warnings_text(const mesh::messages::StatusReply& status, const Terminal& terminal);

}  // namespace shoal::cli
