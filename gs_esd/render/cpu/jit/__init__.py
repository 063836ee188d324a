"""The compiler parts of the CPU rasterizer: tracing to LLVM, SIMD, threads, kernel cache."""
