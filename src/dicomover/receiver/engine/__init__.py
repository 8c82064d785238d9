"""Where the Storage SCP runs: in processes of its own, or on threads of this one, and what goes between.

Never here: DICOM, and pickled objects; what is said between processes are plain values.
"""

__all__: list[str] = []
