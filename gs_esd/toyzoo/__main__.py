from gs_esd.toyzoo.sheet import main

if __name__ == "__main__":
    main()
