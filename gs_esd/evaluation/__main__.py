from gs_esd.evaluation.command import main

if __name__ == "__main__":
    main()
