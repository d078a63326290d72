// Wine before version 9 has no bcryptprimitives.dll, of which Rust's standard library takes this one function. Only
// for trying the executables under such a wine; Windows has its own.
#include <windows.h>
#include <bcrypt.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) {
    return BCryptGenRandom(NULL, data, (ULONG)size, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}
