// The page that a browser shows: the cluster, and a chat. Its files are part of the program; they
// hold nothing secret and need no key, what they ask for does.
#pragma once

#include "daemon/http/exchange.hpp"

namespace shoal::http::page {

// GET
/// The page, to who accepts HTML; others look for an Ollama, and hear that it is running.
Understood start(const Call& call);
/// A file that the page loads, by its name.
Understood file(const Call& call);

}  // namespace shoal::http::page
