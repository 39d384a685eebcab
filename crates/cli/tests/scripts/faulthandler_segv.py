import faulthandler, resource, ctypes
resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); faulthandler.disable(); print("about to crash", flush=True); ctypes.string_at(8)
