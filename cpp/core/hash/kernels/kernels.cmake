# The kernel files and their flags. They alone carry -m flags, so that no wide instruction reaches code that
# runs before the CPU was asked (see registry.cpp). Included by the top CMakeLists.txt.
set(_kernels ${CMAKE_CURRENT_LIST_DIR})
set(_kernel_sources cpuid.cpp crc_portable.cpp lanes.cpp registry.cpp sha256_portable.cpp)

# What is built for. One macOS build can be for both ("universal2"): each file is then empty for the other one, and
# each flag says for which it is. Two words on the command line and not SHELL:, which CMake knows in options of targets
# only. tests/cpp/universal.cmake reads the commands.
if(CMAKE_OSX_ARCHITECTURES)
  set(_architectures ${CMAKE_OSX_ARCHITECTURES})
else()
  set(_architectures ${CMAKE_SYSTEM_PROCESSOR})
endif()
list(LENGTH _architectures _architecture_count)

macro(_kernel file architecture)
  list(APPEND _kernel_sources ${file})
  foreach(_flag ${ARGN})
    if(_architecture_count GREATER 1)
      set(_flag -Xarch_${architecture} ${_flag})
    endif()
    set_property(SOURCE ${_kernels}/${file} APPEND PROPERTY COMPILE_OPTIONS ${_flag})
  endforeach()
endmacro()

if(_architectures MATCHES "x86_64|AMD64|amd64")
  _kernel(sha256_shani.cpp x86_64 -msha -msse4.1)
  _kernel(sha256_avx2.cpp x86_64 -mavx2)
  _kernel(sha256_hybrid.cpp x86_64)
  _kernel(sha256_avx512.cpp x86_64)
  _kernel(crc_pclmul.cpp x86_64 -mpclmul -msse4.1)
  _kernel(crc_vpclmul256.cpp x86_64 -mavx2 -mpclmul -mvpclmulqdq)
  _kernel(crc_vpclmul512.cpp x86_64 -mavx512f -mavx512vl -mavx512bw -mpclmul -mvpclmulqdq)
  # g++ 12 warns of its own header (GCC bug 105593: _mm512_undefined_epi32 "may be used uninitialized").
  set_property(SOURCE ${_kernels}/crc_vpclmul512.cpp APPEND PROPERTY COMPILE_OPTIONS
               -Wno-uninitialized $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  # Generated assembly (gen_sha256_*.py), for the System V calling convention.
  set(_kernel_assembly sha256_avx512.S sha256_hybrid.S sha256_shani.S)
endif()
# Only compiled: it is no matter of linking, and zig makes a C++ library for each set of flags that it links with.
function(_compiles_with flag variable)
  include(CheckCXXCompilerFlag)
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  check_cxx_compiler_flag(${flag} ${variable})
endfunction()

if(_architectures MATCHES "aarch64|arm64|ARM64")
  # gcc and clang take the name of an architecture after -march; zig's clang takes that of a CPU only. A build for both
  # processors is not asked, since it would have to take the flag for x86-64 too: it is Apple's clang, which takes it.
  set(_armv8 -march=armv8-a)
  if(_architecture_count EQUAL 1)
    _compiles_with(-march=armv8-a+crypto+crc S3ACCEL_TAKES_MARCH_ARMV8)
    if(NOT S3ACCEL_TAKES_MARCH_ARMV8)
      _compiles_with(-mcpu=generic+crypto+crc S3ACCEL_TAKES_MCPU_GENERIC)
      if(NOT S3ACCEL_TAKES_MCPU_GENERIC)
        message(FATAL_ERROR "The compiler takes neither -march=armv8-a+crypto+crc nor -mcpu=generic+crypto+crc, "
                            "and the kernels for Arm need one of them")
      endif()
      set(_armv8 -mcpu=generic)
    endif()
  endif()
  _kernel(sha256_armv8.cpp arm64 ${_armv8}+crypto)
  _kernel(crc_armv8.cpp arm64 ${_armv8}+crypto+crc)
endif()

list(TRANSFORM _kernel_sources PREPEND ${_kernels}/)
list(TRANSFORM _kernel_assembly PREPEND ${_kernels}/)
# The loops are written for -O3 whatever the build type says of the rest, and never go through LTO.
set_property(SOURCE ${_kernel_sources} APPEND PROPERTY COMPILE_OPTIONS -O3 -fno-lto)
target_sources(s3accel_core PRIVATE ${_kernel_sources} ${_kernel_assembly})
