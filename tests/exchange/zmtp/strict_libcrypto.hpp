// A libcrypto that refuses ciphers, as one in FIPS mode does.
#pragma once

namespace shoal::mesh::testing {

/// While it lives, libcrypto gives out one cipher and nothing else. One at a time.
class StrictLibcrypto {
  public:
    /// As libcrypto names it; nullptr: none at all.
    explicit StrictLibcrypto(const char* cipher);
    ~StrictLibcrypto();
    StrictLibcrypto(const StrictLibcrypto&) = delete;
    StrictLibcrypto& operator=(const StrictLibcrypto&) = delete;
};

}  // namespace shoal::mesh::testing
