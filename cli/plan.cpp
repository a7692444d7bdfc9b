// shoal plan: what a model would do on the devices of the cluster, or on those that a file
// describes, for which no daemon is needed.
#include <fmt/format.h>

#include <string>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/output.hpp"
#include "cli/plan_report.hpp"
#include "daemon/planner/report.hpp"
#include "daemon/planner/what_if.hpp"

namespace shoal::cli {
namespace {

planner::ShapedModel model_of(const planner::WhatIf& what_if, const PlanOptions& options) {
    if (!options.model.empty()) {
        model::GgufFile file(options.model);
        model::Hparams hparams = model::read_hparams(file);
        return {model::GgufHeader::of(file.header().tensors(), hparams.name), std::move(hparams)};
    }
    if (!what_if.model) {
        throw Error(kUsage, fmt::format("{} has no [model]; describe one there, or name a GGUF "
                                        "file: shoal plan MODEL --what-if {}",
                                        options.what_if, options.what_if));
    }
    return planner::model_of(*what_if.model);
}

int what_if(const Common& common, const PlanOptions& options) {
    planner::WhatIf what_if;
    planner::Report report;
    try {
        what_if = planner::read_what_if(
            read_text({std::nullopt, options.what_if}, "description of devices"), options.what_if);
        const planner::ShapedModel model = model_of(what_if, options);
        report = planner::report(model.header, model.hparams, what_if.cluster,
                                 planner::terms_of(what_if, model.hparams), what_if.positions,
                                 what_if.prompt, options.devices);
    } catch (const planner::WhatIfError& error) {
        throw Error(kUsage, error.what());
    } catch (const model::ModelError& error) {
        throw Error(kUsage, error.what());
    } catch (const shard::PlanError& error) {
        throw Error(kFailed, error.what());
    }
    Output out(-1);
    out.write(common.json ? plan_json(report)
                          : plan_text(report, what_if.counts, terminal_of(1, common.color)));
    return kOk;
}

int of_cluster(const Common& common, const PlanOptions& options) {
    const std::string model = model_name(options.model);
    Session session(common);
    const auto final = session.ask(mesh::messages::PlanRequest{model, options.devices});
    if (!final || common.json) return session.code();
    const auto& reply = Session::expect<mesh::messages::PlanReply>(*final);
    session.output().write(plan_text(report_of(reply), {}, session.terminal()));
    return session.code();
}

}  // namespace

int plan(const Common& common, const PlanOptions& options) {
    return options.what_if.empty() ? of_cluster(common, options) : what_if(common, options);
}

}  // namespace shoal::cli
