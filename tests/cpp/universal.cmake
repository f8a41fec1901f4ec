# A macOS build for both processors at once ("universal2"), as far as it can be seen elsewhere: the commands that CMake
# makes of it. Every kernel is compiled, and every flag of a processor comes right after the -Xarch_ that names it.
# Run by ctest: cmake -DSOURCE=... -DFOLDER=... -DCXX=... -DC=... -P universal.cmake
foreach(architectures "x86_64;arm64" "arm64;x86_64")
  file(REMOVE_RECURSE ${FOLDER})
  string(REPLACE ";" "\\;" quoted "${architectures}")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -G Ninja -S ${SOURCE} -B ${FOLDER} -DS3ACCEL_BUILD_PYTHON=OFF
            -DCMAKE_OSX_ARCHITECTURES=${quoted} -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
            -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_C_COMPILER=${C} -DCMAKE_MAKE_PROGRAM=${NINJA}
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  file(READ ${FOLDER}/compile_commands.json commands)
  foreach(file IN ITEMS sha256_shani.cpp sha256_avx2.cpp sha256_hybrid.cpp sha256_avx512.cpp crc_pclmul.cpp
                        crc_vpclmul256.cpp crc_vpclmul512.cpp sha256_armv8.cpp crc_armv8.cpp
                        sha256_shani.S sha256_hybrid.S sha256_avx512.S)
    string(REGEX MATCH "\"command\": [^\n]*/${file}\"" command "${commands}")
    if(NOT command)
      message(FATAL_ERROR "${architectures}: ${file} is not compiled")
    endif()
    if(command MATCHES "SHELL:")
      message(FATAL_ERROR "${architectures}: the compiler gets CMake's own word: ${command}")
    endif()
    # What remains once the flags that say for whom they are are gone must not have one left.
    string(REGEX REPLACE "-Xarch_(x86_64|arm64) -m[^ ]+" "" rest "${command}")
    if(rest MATCHES " -m(sha|sse|avx|pclmul|vpclmul|arch)" OR rest MATCHES "-Xarch")
      message(FATAL_ERROR "${architectures}: a flag that the other processor gets too: ${rest}")
    endif()
    string(REGEX MATCHALL "-Xarch_(x86_64|arm64)" kinds "${command}")
    list(REMOVE_DUPLICATES kinds)
    if(file MATCHES "armv8")
      set(wanted -Xarch_arm64)
    elseif(file MATCHES "[.]S$|hybrid|avx512[.]cpp")
      set(wanted "")
    else()
      set(wanted -Xarch_x86_64)
    endif()
    if(NOT "${kinds}" STREQUAL "${wanted}")
      message(FATAL_ERROR "${architectures}: ${file} is compiled with ${kinds}, not ${wanted}")
    endif()
  endforeach()
endforeach()
file(REMOVE_RECURSE ${FOLDER})
