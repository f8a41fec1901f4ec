# The kernel files and their flags. They alone carry -m flags, so that no wide instruction reaches code that
# runs before the CPU was asked (see registry.cpp). Included by the top CMakeLists.txt.
set(_kernels ${CMAKE_CURRENT_LIST_DIR})
set(_kernel_sources cpuid.cpp crc_portable.cpp lanes.cpp registry.cpp sha256_portable.cpp)

macro(_kernel file)
  list(APPEND _kernel_sources ${file})
  set_property(SOURCE ${_kernels}/${file} APPEND PROPERTY COMPILE_OPTIONS ${ARGN})
endmacro()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  _kernel(sha256_shani.cpp -msha -msse4.1)
  _kernel(sha256_avx2.cpp -mavx2)
  _kernel(sha256_hybrid.cpp)
  _kernel(sha256_avx512.cpp)
  _kernel(crc_pclmul.cpp -mpclmul -msse4.1)
  _kernel(crc_vpclmul256.cpp -mavx2 -mpclmul -mvpclmulqdq)
  # g++ 12 warns of its own header (GCC bug 105593: _mm512_undefined_epi32 "may be used uninitialized").
  _kernel(crc_vpclmul512.cpp -mavx512f -mavx512vl -mavx512bw -mpclmul -mvpclmulqdq
          -Wno-uninitialized $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  # Generated assembly (gen_sha256_*.py); empty on Windows, whose calling convention differs.
  set(_kernel_assembly sha256_avx512.S sha256_hybrid.S sha256_shani.S)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  _kernel(sha256_armv8.cpp -march=armv8-a+crypto)
  _kernel(crc_armv8.cpp -march=armv8-a+crypto+crc)
endif()

list(TRANSFORM _kernel_sources PREPEND ${_kernels}/)
list(TRANSFORM _kernel_assembly PREPEND ${_kernels}/)
# The loops are written for -O3 whatever the build type says of the rest, and never go through LTO.
set_property(SOURCE ${_kernel_sources} APPEND PROPERTY COMPILE_OPTIONS -O3 -fno-lto)
target_sources(s3accel_core PRIVATE ${_kernel_sources} ${_kernel_assembly})
