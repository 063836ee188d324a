from gs_esd.cli.main import main

if __name__ == "__main__":
    main()
