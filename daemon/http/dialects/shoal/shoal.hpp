// What no other API has: the cluster and its state. Errors are told as OpenAI does.
#pragma once

#include "daemon/http/exchange.hpp"

namespace shoal::http::native {

// GET
/// As server-sent events, about once a second while it changes, to who accepts these.
Understood cluster(const Call& call);
/// For Prometheus.
Understood metrics(const Call& call);
/// 200, or 503 with a reason.
Understood health(const Call& call);

}  // namespace shoal::http::native
