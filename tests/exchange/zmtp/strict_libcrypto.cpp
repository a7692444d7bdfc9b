#include "tests/exchange/zmtp/strict_libcrypto.hpp"

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::mesh::testing {

namespace {

void require(bool done) {
    if (!done) throw std::runtime_error("libcrypto takes no provider");
}

/// libcrypto's own, which is not loaded by itself any more when another is. It stays.
OSSL_PROVIDER* standard() {
    static OSSL_PROVIDER* const provider = OSSL_PROVIDER_load(nullptr, "default");
    return provider;
}

std::string_view name_of(const OSSL_ALGORITHM& cipher) {
    const std::string_view names = cipher.algorithm_names;
    return names.substr(0, names.find(':'));
}

/// The ciphers of `standard`, under properties by which each can be asked for alone.
const OSSL_ALGORITHM* query(void*, int operation, int* no_cache) {
    static const std::vector<OSSL_ALGORITHM> ciphers = [] {
        std::vector<OSSL_ALGORITHM> all;
        int ignored = 0;
        const auto* next = OSSL_PROVIDER_query_operation(standard(), OSSL_OP_CIPHER, &ignored);
        for (; next->algorithm_names != nullptr; ++next) {
            OSSL_ALGORITHM cipher = *next;
            if (name_of(cipher) == "AES-256-OCB") {
                cipher.property_definition = "provider='AES-256-OCB'";
            } else if (name_of(cipher) == "AES-256-GCM") {
                cipher.property_definition = "provider='AES-256-GCM'";
            } else if (name_of(cipher) == "ChaCha20-Poly1305") {
                cipher.property_definition = "provider='ChaCha20-Poly1305'";
            } else {
                continue;
            }
            all.push_back(cipher);
        }
        all.push_back({});
        return all;
    }();
    *no_cache = 0;
    return operation == OSSL_OP_CIPHER ? ciphers.data() : nullptr;
}

int start(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out,
          void** context) {
    static const OSSL_DISPATCH kFunctions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, reinterpret_cast<void (*)()>(&query)}, {0, nullptr}};
    *out = kFunctions;
    *context = OSSL_PROVIDER_get0_provider_ctx(standard());
    return 1;
}

}  // namespace

StrictLibcrypto::StrictLibcrypto(const char* cipher) {
    static const OSSL_PROVIDER* const strict =
        standard() != nullptr && OSSL_PROVIDER_add_builtin(nullptr, "strict", &start) == 1
            ? OSSL_PROVIDER_load(nullptr, "strict")
            : nullptr;
    require(strict != nullptr);
    const std::string only = "provider='" + std::string(cipher != nullptr ? cipher : "none") + "'";
    require(EVP_set_default_properties(nullptr, only.c_str()) == 1);
}

StrictLibcrypto::~StrictLibcrypto() {
    EVP_set_default_properties(nullptr, "");
}

}  // namespace shoal::mesh::testing
