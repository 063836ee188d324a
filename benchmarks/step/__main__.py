from benchmarks.step.compare import main

if __name__ == "__main__":
    main()
