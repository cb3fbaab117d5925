# Thin: each target names the scripts and presets that do the work. `make help` lists them.
jobs ?= 2
sources = $(shell find $(wildcard src include tests bench fuzz python examples) -name '*.cpp' -o -name '*.h')
clang_format = $(or $(shell command -v clang-format-14),$(shell command -v clang-format),$(error install clang-format))
clang_tidy = $(or $(shell command -v run-clang-tidy-14),$(shell command -v run-clang-tidy),$(error install clang-tidy))

fuzzer = ASAN_OPTIONS=detect_leaks=0 build/fuzz/fuzz
fuzz_options = -max_total_time=$(or $(seconds),60) -rss_limit_mb=4096 -verbosity=0 -timeout=20

.DEFAULT_GOAL := build
.PHONY: all build test demo bench format format-check lint asan tsan fuzz clean help setup

all: build

setup:
	@scripts/setup

build: setup ## build the library, the command and the tests in build/release
	@cmake --preset release -Wno-dev >/dev/null
	@cmake --build --preset release

test: ## build and run every test
	@scripts/setup --tests
	@$(MAKE) --no-print-directory build
	@ctest --preset release -j$(jobs)

demo: build ## five models on two cores: scale, profile, plan, then compare with what people do today
	@scripts/demo

bench: build ## run the benchmarks
	@for bench in build/release/bench/bench_*; do echo "$$bench"; $$bench || exit; done

asan tsan: setup ## build and test with AddressSanitizer and UBSan, or ThreadSanitizer
	@cmake --preset $@ -Wno-dev >/dev/null
	@cmake --build --preset $@
	@ctest --preset $@ -j$(jobs)

fuzz: setup ## build the fuzzers with Clang and run each for a minute
	@cmake --preset dev -B build/fuzz -DCMAKE_CXX_COMPILER=clang++ -DRTMDL_FUZZ=ON -DRTMDL_WERROR=OFF -DRTMDL_SANITIZE=address,undefined \
	  -DRTMDL_TESTS=OFF -DRTMDL_BENCH=OFF -Wno-dev >/dev/null
	@cmake --build build/fuzz --target fuzz_task_file fuzz_onnx_model
	@mkdir -p build/fuzz/corpus/task_file build/fuzz/corpus/onnx_model build/fuzz/seeds/onnx_model
	@for model in assets/models/blazeface_128.onnx tests/architectures/*.onnx; do \
	  [ -f $$model ] && ln -sf $(CURDIR)/$$model build/fuzz/seeds/onnx_model/; done; true
	@$(fuzzer)/fuzz_task_file -max_len=8192 $(fuzz_options) build/fuzz/corpus/task_file examples/edge-box
	@$(fuzzer)/fuzz_onnx_model -max_len=600000 $(fuzz_options) build/fuzz/corpus/onnx_model build/fuzz/seeds/onnx_model

format: ## rewrite the sources as .clang-format says
	@$(clang_format) -i $(sources)

format-check: ## fail if a source is not formatted
	@$(clang_format) --dry-run --Werror $(sources)

lint: setup ## run clang-tidy over the sources
	@cmake --preset dev -Wno-dev >/dev/null
	@$(clang_tidy) -quiet -p build/dev '$(CURDIR)/(src|bench)/.*\.cpp'

clean: ## remove what was built (downloads and assets stay)
	@rm -rf build

help: ## this list
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
