import java.io.File;
import java.io.FileInputStream;
import java.net.Socket;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;
import org.dcm4che3.data.Attributes;
import org.dcm4che3.data.ElementDictionary;
import org.dcm4che3.data.Tag;
import org.dcm4che3.data.UID;
import org.dcm4che3.data.VR;
import org.dcm4che3.io.DicomInputStream;
import org.dcm4che3.net.*;
import org.dcm4che3.net.pdu.AAssociateRQ;
import org.dcm4che3.net.pdu.PresentationContext;
import org.dcm4che3.net.service.*;

/**
 * A Query/Retrieve SCP on dcm4che's network stack, over the files of a folder.
 *
 * java Dcm4cheArchive PORT FOLDER TITLE=PORT ... [STORE.p12], which holds its key, its certificate and the authority.
 */
public class Dcm4cheArchive {
    static final String MODEL = "1.2.840.10008.5.1.4.1.2.";
    static final int[] KEYS = {Tag.PatientID, Tag.StudyInstanceUID, Tag.SeriesInstanceUID, Tag.SOPInstanceUID,
        Tag.AccessionNumber, Tag.StudyDate, Tag.Modality, Tag.SOPClassUID};
    static final List<String> LEVELS = Arrays.asList("PATIENT", "STUDY", "SERIES", "IMAGE");
    static final String PASSWORD = "made-up";

    static final Map<InstanceLocator, Attributes> held = new LinkedHashMap<>();
    static final Map<String, Integer> destinations = new HashMap<>();
    static boolean tls;

    static String[] models(int service) {
        return new String[] {MODEL + "1." + service, MODEL + "2." + service};
    }

    static List<InstanceLocator> match(Attributes keys) {
        List<InstanceLocator> found = new ArrayList<>();
        for (Map.Entry<InstanceLocator, Attributes> one : held.entrySet()) {
            boolean all = true;
            for (int tag : KEYS) {
                String[] wanted = keys.getStrings(tag);
                if (wanted != null && wanted.length > 0 && !(wanted.length == 1 && wanted[0].equals("*")))
                    all &= Arrays.asList(wanted).contains(one.getValue().getString(tag, ""));
            }
            if (all) found.add(one.getKey());
        }
        return found;
    }

    static class Find extends BasicCFindSCP {
        Find() { super(models(1)); }

        @Override
        protected QueryTask calculateMatches(Association association, PresentationContext context, Attributes request,
                Attributes keys) throws DicomServiceException {
            String level = keys.getString(Tag.QueryRetrieveLevel, "STUDY");
            int unique = KEYS[LEVELS.indexOf(level)];
            Map<String, Attributes> answers = new LinkedHashMap<>();
            for (InstanceLocator one : match(keys)) {
                Attributes values = held.get(one);
                Attributes answer = answers.computeIfAbsent(values.getString(unique), uid -> new Attributes());
                answer.setString(Tag.QueryRetrieveLevel, VR.CS, level);
                for (int tag : KEYS)
                    if (keys.contains(tag))
                        answer.setString(tag, ElementDictionary.vrOf(tag, null), values.getString(tag, ""));
                int count = level.equals("SERIES") ? Tag.NumberOfSeriesRelatedInstances : Tag.NumberOfStudyRelatedInstances;
                if (!level.equals("IMAGE")) answer.setInt(count, VR.IS, answer.getInt(count, 0) + 1);
            }
            java.util.Iterator<Attributes> left = answers.values().iterator();
            return new BasicQueryTask(association, context, request, keys) {
                @Override protected boolean hasMoreMatches() { return left.hasNext(); }
                @Override protected Attributes nextMatch() { return left.next(); }
                @Override protected Attributes adjust(Attributes match) { return match; }
            };
        }
    }

    static RetrieveTask retrieve(Dimse kind, Association association, PresentationContext context, Attributes request,
            List<InstanceLocator> found, Association stores) throws DicomServiceException {
        BasicRetrieveTask<InstanceLocator> task = new BasicRetrieveTask<>(kind, association, context, request, found,
            stores, new BasicCStoreSCU<InstanceLocator>() {
                @Override
                protected DataWriter createDataWriter(InstanceLocator one, String syntax) throws Exception {
                    try (DicomInputStream in = new DicomInputStream(one.getFile())) {
                        in.readFileMetaInformation();
                        return new DataWriterAdapter(in.readDataset(-1, -1));
                    }
                }
            });
        task.setSendPendingRSP(true);
        return task;
    }

    static class Move extends BasicCMoveSCP {
        Move() { super(models(2)); }

        @Override
        protected RetrieveTask calculateMatches(Association association, PresentationContext context, Attributes request,
                Attributes keys) throws DicomServiceException {
            String title = request.getString(Tag.MoveDestination);
            if (!destinations.containsKey(title))
                throw new DicomServiceException(Status.MoveDestinationUnknown, "Unknown Move Destination: " + title);
            List<InstanceLocator> found = match(keys);
            if (found.isEmpty()) return null;
            AAssociateRQ asked = new AAssociateRQ();
            asked.setCallingAET("DCM4CHE");
            asked.setCalledAET(title);
            Set<String> pairs = new LinkedHashSet<>();
            for (InstanceLocator one : found)
                if (pairs.add(one.cuid + one.tsuid)) asked.addPresentationContextFor(one.cuid, one.tsuid);
            Connection there = new Connection("there", "127.0.0.1", destinations.get(title));
            secure(there);
            try {
                Association stores = association.getApplicationEntity().connect(there, asked);
                return retrieve(Dimse.C_MOVE_RQ, association, context, request, found, stores);
            } catch (Exception error) {
                throw new DicomServiceException(Status.UnableToPerformSubOperations, error);
            }
        }
    }

    static class Get extends BasicCGetSCP {
        Get() { super(models(3)); }

        @Override
        protected RetrieveTask calculateMatches(Association association, PresentationContext context, Attributes request,
                Attributes keys) throws DicomServiceException {
            List<InstanceLocator> found = match(keys);
            return found.isEmpty() ? null
                : retrieve(Dimse.C_GET_RQ, association, context, request, found, association);
        }
    }

    static void secure(Connection connection) {
        connection.setTcpNoDelay(true);
        if (!tls) return;
        connection.setTlsProtocols("TLSv1.2");
        connection.setTlsCipherSuites("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
        connection.setTlsNeedClientAuth(true);
    }

    public static void main(String[] arguments) throws Exception {
        Device device = new Device("archive");
        for (String argument : Arrays.asList(arguments).subList(2, arguments.length)) {
            if (argument.contains("=")) {
                destinations.put(argument.split("=")[0], Integer.parseInt(argument.split("=")[1]));
                continue;
            }
            tls = true;
            KeyStore store = KeyStore.getInstance("PKCS12");
            try (FileInputStream in = new FileInputStream(argument)) { store.load(in, PASSWORD.toCharArray()); }
            device.setKeyManager(SSLManagerFactory.createKeyManager(store, PASSWORD));
            List<X509Certificate> chain = new ArrayList<>();
            for (java.security.cert.Certificate one : store.getCertificateChain(store.aliases().nextElement()))
                chain.add((X509Certificate) one);
            device.setTrustManager(SSLManagerFactory.createTrustManager(chain.get(chain.size() - 1)));
        }
        File[] files = new File(arguments[1]).listFiles((folder, name) -> name.endsWith(".dcm"));
        Arrays.sort(files);
        for (File file : files) {
            try (DicomInputStream in = new DicomInputStream(file)) {
                String syntax = in.readFileMetaInformation().getString(Tag.TransferSyntaxUID);
                Attributes values = in.readDataset(-1, Tag.PixelData);
                held.put(new InstanceLocator(values.getString(Tag.SOPClassUID), values.getString(Tag.SOPInstanceUID),
                    syntax, file.toURI().toString()), values);
            }
        }
        Connection connection = new Connection("dicom", "127.0.0.1", Integer.parseInt(arguments[0]));
        secure(connection);
        device.addConnection(connection);
        ApplicationEntity entity = new ApplicationEntity("*");
        entity.setAssociationAcceptor(true);
        entity.setAssociationInitiator(true);
        entity.addConnection(connection);
        device.addApplicationEntity(entity);
        List<String> offered = new ArrayList<>();
        for (int service = 1; service <= 3; service++) offered.addAll(Arrays.asList(models(service)));
        offered.add(UID.VerificationSOPClass);
        for (String uid : offered)
            entity.addTransferCapability(new TransferCapability(null, uid, TransferCapability.Role.SCP,
                UID.ExplicitVRLittleEndian, UID.ImplicitVRLittleEndian));
        entity.addTransferCapability(new TransferCapability(null, "*", TransferCapability.Role.SCU, "*"));
        DicomServiceRegistry services = new DicomServiceRegistry();
        for (DicomService service : new DicomService[] {new BasicCEchoSCP(), new Find(), new Move(), new Get()})
            services.addDicomService(service);
        device.setDimseRQHandler(services);
        device.setExecutor(Executors.newCachedThreadPool());
        device.setScheduledExecutor(Executors.newSingleThreadScheduledExecutor());
        device.bindConnections();
    }
}
