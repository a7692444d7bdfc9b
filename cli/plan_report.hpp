// Predicted plans as people and programs read them: of devices that a file describes, and of those
// of a cluster.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/terminal.hpp"
#include "daemon/planner/report.hpp"
#include "mesh/messages/plan_report.hpp"

namespace shoal::cli {

/// `counts`: numbers of devices to show beside the one that is chosen; empty: all.
std::string plan_text(const planner::Report& report, const std::vector<std::uint32_t>& counts,
                      const Terminal& terminal);
/// One line, with its end.
std::string plan_json(const planner::Report& report);

/// What a daemon answered.
planner::Report report_of(const mesh::messages::PlanReply& reply);

}  // namespace shoal::cli
