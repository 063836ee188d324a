from gs_esd.report.command import main

if __name__ == "__main__":
    main()
