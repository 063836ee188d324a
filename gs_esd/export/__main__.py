from gs_esd.export.command import main

if __name__ == "__main__":
    main()
