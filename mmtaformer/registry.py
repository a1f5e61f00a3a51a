"""Lets other repositories inherit this project's configs.

`_base_ = "mmtaformer::taformer/..."` makes mmengine look up the package in a table
of the packages it knows, and the components of the inherited parts in registries of
the scope `mmtaformer`. Components are registered with mmdet's registries, so the ones
made here are empty and pass every question on to their parents.
"""

import mmdet.registry
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry

SCOPE = "mmtaformer"

# Of a distribution mmengine 0.10.7 cannot find the folder if the install is editable;
# of a name that no distribution has, it takes the folder of the module.
MODULE2PACKAGE.setdefault(SCOPE, f"{SCOPE}.version")

SCOPED_REGISTRIES = {
    name: Registry(parent.name, parent=parent, scope=SCOPE, locations=[SCOPE])
    for name, parent in vars(mmdet.registry).items()
    if isinstance(parent, Registry)
}
