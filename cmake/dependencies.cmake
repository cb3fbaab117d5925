# Everything that the build stands on. scripts/setup installs what is missing.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(SQLite3 REQUIRED)
find_package(Protobuf REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Pagmo REQUIRED)
find_package(OpenCV REQUIRED COMPONENTS core imgproc imgcodecs videoio)
pkg_check_modules(sndfile REQUIRED IMPORTED_TARGET sndfile)

# libonnx: the file format only (protobuf messages), no shape inference.
add_library(onnx_file INTERFACE)
target_compile_definitions(onnx_file INTERFACE ONNX_ML=1 ONNX_NAMESPACE=onnx)
target_link_libraries(onnx_file INTERFACE onnx_proto protobuf::libprotobuf)

# ONNX Runtime: ONNXRUNTIME_ROOT (variable or environment) wins over the one that scripts/setup fetched.
set(fetched_onnxruntime ${PROJECT_SOURCE_DIR}/assets/onnxruntime)
if(NOT ONNXRUNTIME_ROOT)
  if(DEFINED ENV{ONNXRUNTIME_ROOT})
    set(ONNXRUNTIME_ROOT $ENV{ONNXRUNTIME_ROOT})
  else()
    set(ONNXRUNTIME_ROOT ${fetched_onnxruntime})
  endif()
endif()
find_path(ONNXRUNTIME_INCLUDE onnxruntime_c_api.h
          PATHS ${ONNXRUNTIME_ROOT}/include ${ONNXRUNTIME_ROOT}/include/onnxruntime NO_DEFAULT_PATH)
find_library(ONNXRUNTIME_LIBRARY NAMES onnxruntime libonnxruntime.so.1 PATHS ${ONNXRUNTIME_ROOT}/lib NO_DEFAULT_PATH)
if(NOT ONNXRUNTIME_INCLUDE OR NOT ONNXRUNTIME_LIBRARY)
  message(FATAL_ERROR "ONNX Runtime not found under ${ONNXRUNTIME_ROOT}: run scripts/setup, or set ONNXRUNTIME_ROOT "
                      "to a folder with include/ and lib/")
endif()
add_library(onnxruntime::onnxruntime SHARED IMPORTED)
set_target_properties(onnxruntime::onnxruntime PROPERTIES
  IMPORTED_LOCATION ${ONNXRUNTIME_LIBRARY} IMPORTED_SONAME libonnxruntime.so.1
  INTERFACE_INCLUDE_DIRECTORIES ${ONNXRUNTIME_INCLUDE})

# libtorch, for training only. An existing build finds it once it is installed.
if(RTMDL_TRAINING STREQUAL "AUTO")
  find_package(Torch QUIET)
  if(Torch_FOUND)
    set(RTMDL_TRAINING ON)
  else()
    message(STATUS "libtorch not found: no training (scripts/setup --training installs it)")
    set(RTMDL_TRAINING OFF)
  endif()
elseif(RTMDL_TRAINING)
  find_package(Torch REQUIRED)
endif()

# Open MPI, for `plan --mpi` only.
if(RTMDL_MPI STREQUAL "AUTO")
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(RTMDL_MPI ON)
  else()
    message(STATUS "Open MPI not found: no plan --mpi (scripts/setup installs it)")
    set(RTMDL_MPI OFF)
  endif()
elseif(RTMDL_MPI)
  find_package(MPI REQUIRED COMPONENTS CXX)
endif()
