from gs_esd.tools.doctor.command import main

if __name__ == "__main__":
    main()
