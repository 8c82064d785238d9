"""A PACS to test against: in this process, on loopback, with sample data, and as badly behaved as asked for.

It is public: for the demo, the notebooks, our own tests and those of others.

Never here: what the other rooms need; only the demo and the tests know this one.

::

    with DemoPacs(studies=[made_study("00123")], misbehave={"00123": "success-with-failures"}) as pacs:
        ...                                # move from pacs.node to the AE title WORKSTATION
        pacs.workstation.sop_instance_uids # what arrived there
        pacs.requests                      # what the archive was asked

`MISBEHAVIOURS` names what it can get wrong, with one line on each.
"""

from dicomover.testing._elements import data_set_of_file
from dicomover.testing._misbehaviour import MISBEHAVIOURS, Misbehaviour
from dicomover.testing._pacs import DemoPacs
from dicomover.testing._records import Association, Request, Store
from dicomover.testing._samples import sample_studies
from dicomover.testing._studies import Instance, Series, Study, made_studies, made_study
from dicomover.testing._workstation import Received, Workstation

__all__ = [
    "MISBEHAVIOURS",
    "Association",
    "DemoPacs",
    "Instance",
    "Misbehaviour",
    "Received",
    "Request",
    "Series",
    "Store",
    "Study",
    "Workstation",
    "data_set_of_file",
    "made_studies",
    "made_study",
    "sample_studies",
]
